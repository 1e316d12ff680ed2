/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much a user may have. Counted from the devices that there are, so it cannot drift. */
#pragma once

#include "settings.h"

/*
 * May user `uid`, whose limits these are, make one more device with queues x depth requests? FALSE
 * with LimitExceeded where nobody may go beyond; else *beyond says whether it takes the stronger
 * authorization, and *why (to be freed) which limit.
 */
gboolean quota_check(uid_t uid, const UserLimits *limits, guint32 queues, guint32 depth,
		     gboolean *beyond, char **why, GError **error);

/*
 * May user `uid` share `size` bytes of memory more with devices of theirs? FALSE with
 * LimitExceeded; nobody goes beyond that.
 */
gboolean quota_check_shared_memory(uid_t uid, const UserLimits *limits, guint64 size,
				   GError **error);

/* One creation of this user begins: counts against creations-per-minute. */
void quota_note_creation(uid_t uid, const UserLimits *limits);

/* What the user, whose limits these are, has of them now, and how many devices there are in all. */
UserLimits quota_get_use(uid_t uid, const UserLimits *limits, guint *devices_total);
