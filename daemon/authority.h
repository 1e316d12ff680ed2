/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* polkit, asked without waiting. */
#pragma once

#include <gio/gio.h>

#include "caller.h"

typedef enum {
	AUTHORITY_YES,
	AUTHORITY_YES_BY_PROMPT, /* somebody typed a password for it */
	AUTHORITY_NO,            /* a rule says no, or polkit cannot be asked */
	AUTHORITY_CHALLENGE,     /* a password would do, but may not be asked for */
} AuthorityAnswer;

/*
 * `reason` (borrowed) says why for NO and CHALLENGE; it is NULL for YES.
 */
typedef void (*AuthorityDone)(AuthorityAnswer answer, const char *reason, gpointer user_data);

/*
 * May the caller do the action? `details` is a dictionary a{ss} that rules can decide on. With
 * `interactive` the user may be asked for a password, unless that many dialogs are open already and
 * none of them is old.
 * `done` is called exactly once, from the main loop; after `cancellable` it is NO.
 *
 * Fails closed: without polkit only real root passes. And only *real* root is root: polkit says yes
 * to every uid 0, but a container's uid 0 without CAP_SYS_ADMIN in the initial user namespace is
 * not an administrator, so it is refused before polkit is asked.
 */
void authority_check(const Caller *caller, const char *action, GVariant *details,
		     gboolean interactive, GCancellable *cancellable, AuthorityDone done,
		     gpointer user_data);
