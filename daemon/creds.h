/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users' credentials as personalities of the control ring (see kernel/ublk-creds.h), shared while
 * anybody holds them.
 */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

typedef struct Creds Creds;

/* `creds` is the callee's (creds_unref), NULL when `error` (borrowed) is set. */
typedef void (*CredsDone)(Creds *creds, const GError *error, gpointer user_data);

/*
 * Get the credentials uid:gid with these supplementary groups and no capability. `done` is called
 * exactly once, from the main loop. A user can stop or kill the child that takes on the identity;
 * that fails this call alone, within two seconds.
 */
void creds_acquire(uid_t uid, gid_t gid, const gid_t *groups, gsize n_groups, CredsDone done,
		   gpointer user_data);

Creds *creds_ref(Creds *creds);
void creds_unref(Creds *creds);

/* For ublk_control_cmd.personality. */
unsigned int creds_get_personality(const Creds *creds);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Creds, creds_unref)
