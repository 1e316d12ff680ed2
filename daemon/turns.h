/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that wait for ublkd, and whose turn it is.
 *
 * Each user has a turn, whichever connection it is by, and within a user's each connection: a call
 * is behind no more than one of each other user. A user has so many turns in a second, after a
 * burst, and fewer if they cost ublkd more than a tenth of a processor: who calls without a pause
 * takes little of others' time, of ublkd's and, with programs that wait for answers, of the bus's.
 * Root has as many turns as it likes. A connection has none before it is known whose it is.
 *
 * Any thread may call these.
 */
#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <sys/types.h>

typedef struct TurnsSender TurnsSender;

typedef struct {
	TurnsSender *sender;
	guint weight;
	guint8 *message; /* NULL: it has been given away */
	gsize len;
	GUnixFDList *fds; /* or NULL */
} Call;

/* How long it is between two turns of a user at least, in microseconds, 1 or more; at first 10000.
 */
void turns_set_interval(gint64 usec);

/*
 * A call by the connection of that name, or NULL if it has too many already, counted by weight.
 * Ends, once, in turns_done(). *is_new: it has not been here before, and waits for
 * turns_introduce().
 */
Call *turns_enter(const char *sender, guint weight, gboolean *is_new);
/* It is complete, and waits. */
void turns_wait(Call *call);
/*
 * The call whose turn it is, or NULL: nobody's, or enough have been taken that are not done, or
 * those who wait have had their turns; then *due is when there is another one (monotonic time), and
 * else 0.
 */
Call *turns_take(gint64 *due);
/* Of the calls that were taken, the next one that turns_next() has not returned yet. */
Call *turns_next(void);
/* Frees it. */
void turns_done(Call *call);

/*
 * Whose that connection is. DESCRIPTOR_OF_NOBODY: it cannot be found out now; all such have turns
 * as one user, until this is called again for them.
 */
void turns_introduce(const char *sender, uid_t uid);
/* Whether that connection has called, and not left. */
gboolean turns_know(const char *sender);
/*
 * That connection has left the bus. What of its calls waits is freed, and the descriptors are
 * returned (of GUnixFDList, to be freed), or NULL; *uid is whose it was, or -1.
 */
GSList *turns_forget(const char *sender, uid_t *uid);
