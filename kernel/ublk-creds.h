/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Somebody else's credentials for control commands.
 *
 * An io_uring *personality* is a set of credentials that was registered with a ring; a command that
 * names it is issued, and judged by the kernel, with them. A short-lived child takes on the user's
 * identity, drops every capability, registers itself and exits; this process itself never changes
 * its own. It needs CAP_SETUID and CAP_SETGID.
 *
 * While the child carries the user's uid, the user may signal it: kill it (the registration fails
 * with -ECHILD) or stop it (the caller's deadline must pass and it must call
 * ublk_creds_abort()). It keeps saved-set uid 0 so that this process may kill it without CAP_KILL,
 * and so that the user may not ptrace it.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct ublk_control;

struct ublk_creds_child {
	pid_t pid;
	int pidfd; /* readable when the child has exited; CLOEXEC */
	/* Not for the caller: */
	int result_fd;
	struct ublk_control *ctl;
};

/*
 * Start a child that registers the credentials uid:gid with the n supplementary `groups` (n at most
 * 64; more are refused with -EINVAL) and no capability at all. Returns 0 at once, without waiting;
 * the child belongs to the caller until ublk_creds_finish() or ublk_creds_abort(), one of which
 * must come before ublk_control_close(). Nobody else may wait for it (SIGCHLD must not be ignored).
 */
int ublk_creds_start(struct ublk_control *ctl, uid_t uid, gid_t gid, const gid_t *groups, size_t n,
		     struct ublk_creds_child *child);

/*
 * To be called when child->pidfd is readable: reaps the child. Returns the personality (> 0), or
 * negative errno: what the child met, -ECHILD if it was killed. Closes the pidfd.
 */
int ublk_creds_finish(struct ublk_creds_child *child);

/*
 * Kill the child without waiting for its end: that may take as long as its user keeps it from a
 * processor. It is finished with ublk_creds_finish() when its pidfd is readable, as always; a
 * personality that this still brings is to be dropped.
 */
void ublk_creds_kill(struct ublk_creds_child *child);

/* Kill and reap the child, whatever it is doing. Closes the pidfd. */
void ublk_creds_abort(struct ublk_creds_child *child);

/* Give a personality back to the ring. */
void ublk_creds_drop(struct ublk_control *ctl, int personality);

/* Start, wait and finish in one, for small tools and tests. */
int ublk_creds_register(struct ublk_control *ctl, uid_t uid, gid_t gid, const gid_t *groups,
			size_t n);
