/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who calls: established once for a method call, from the bus and the kernel, never from what the
 * caller says; constant afterwards.
 */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

typedef struct {
	char *sender;  /* unique name on the bus */
	uid_t uid;     /* as the bus authenticated it */
	gid_t gid;     /* the real group of its process: what the kernel records as the device's */
	gid_t *groups; /* supplementary ones */
	gsize n_groups;
	pid_t pid;
	int pidfd;
	gboolean is_root; /* uid 0 that really is: CAP_SYS_ADMIN, in the initial user namespace */
	gboolean in_host_mounts; /* its paths mean what they mean to the host */
	gboolean in_host_users;  /* in the initial user namespace */
} Caller;

/* `caller` is the callee's (caller_free); NULL when `error` (borrowed) is set. */
typedef void (*CallerDone)(Caller *caller, const GError *error, gpointer user_data);

/* Before the first call comes; waits for the bus. */
gboolean caller_init(GDBusConnection *bus, GError **error);
/* Find out whose connection `sender` is, and tell turns.h. */
void caller_meet(const char *sender);
/* Find out who `sender` is; `done` is called exactly once, maybe before this returns. */
void caller_identify(const char *sender, CallerDone done, gpointer user_data);
void caller_free(Caller *caller);

/* Whether its pid is still its own. */
gboolean caller_is_alive(const Caller *caller);

/*
 * The real user of a process, FALSE when it has ended. Only a pidfd tells that it is the same one.
 */
gboolean caller_process_uid(pid_t pid, uid_t *uid);

/*
 * `host` and `theirs` are texts of mountinfo, or NULL. TRUE when both have the very same mount at
 * "/": mount ids are unique in the whole system, so that is the same mount namespace and no chroot.
 */
gboolean caller_same_root_mount(const char *host, const char *theirs);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Caller, caller_free)
