/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The user database: names of users and groups, and who is in which group. It may be another
 * machine's, so whatever asks it waits: not in the main loop.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/*
 * The id that has this name, or is written so. 0, ENOENT if there is none, or the errno by which
 * the database does not tell. They wait.
 */
int accounts_find_user(const char *name, uid_t *uid);
int accounts_find_group(const char *name, gid_t *gid);

/*
 * `groups` (of gid_t; the callee's reference, shared with others) are all that the database has a
 * user in; NULL when `error` (borrowed) is set. Who is not in the database, as a container's
 * subordinate ids, is in none.
 */
typedef void (*AccountsDone)(GArray *groups, const GError *error, gpointer user_data);

/*
 * What they are now, or were some seconds ago. `done` is called exactly once, from the main loop
 * and not before this returns.
 */
void accounts_ask_groups(uid_t uid, AccountsDone done, gpointer user_data);
