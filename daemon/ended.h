/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last devices that went away without anybody having asked for it, so that who looks for theirs
 * afterwards learns why it is not there. A few for each user and a few dozen in all: nobody's ends
 * fill the memory. Not kept over a restart of ublkd.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#define ENDED_PER_USER 8
#define ENDED_TOTAL    128

/* It went by itself. Times in microseconds since 1970. @why is what the device's property Ending
 * said. */
void ended_note(uid_t uid, guint32 id, const char *name, gint64 created_at, gint64 ended_at,
		const char *why);

/*
 * A device with this number, or of this owner and name, was deleted as it should be: what became of
 * an earlier one is not what anybody asks about any more.
 */
void ended_forget(uid_t uid, guint32 id, const char *name);

/* Those of a user, the last one first: aa{sv} as GetEnded tells it; floating. */
GVariant *ended_describe(uid_t uid);
