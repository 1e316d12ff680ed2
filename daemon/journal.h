/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal. What matters to an administrator is an event: it has a message id (explained in
 * ublkd.catalog, by journalctl -x) and fields to find it by. All else is g_message() and its like.
 */
#pragma once

#include "caller.h"
#include "device.h"

typedef enum {
	JOURNAL_ALLOWED,      /* a call was authorized */
	JOURNAL_REFUSED,      /* a call was refused, whatever for */
	JOURNAL_UNTOLD,       /* there were more calls than are told */
	JOURNAL_CREATED,      /* a device that its owner will start */
	JOURNAL_LIVE,         /* a device can be used */
	JOURNAL_TAKEN_OVER,   /* … and is known to the ublkd that came after another */
	JOURNAL_GOES,         /* a device is being deleted */
	JOURNAL_STAYS,        /* … and cannot be */
	JOURNAL_SERVER_ENDED, /* how, if it was not asked to */
	JOURNAL_OPENED,       /* a device was opened for its owner */
	JOURNAL_SEIZED,       /* its owner had no right to it any more */
	JOURNAL_MISTAKE,      /* in the settings */
	JOURNAL_RELOADED,     /* the settings */
	JOURNAL_EVENTS,
} JournalEvent;

/* What it is about: becomes fields. All of them may be missing. */
typedef struct {
	const Device *device; /* UBLK_DEVICE, UBLK_NAME, UBLK_OWNER, UBLK_SERVER_PID */
	const char *action;   /* UBLK_ACTION: what was asked for; NULL: what the event is */
	const char *polkit;   /* UBLK_POLKIT_ACTION: what it took */
	/*
	 * UBLK_CALLER_UID, UBLK_CALLER_PID, and OBJECT_PID, by which journald adds what only it may
	 * look at: OBJECT_EXE, the caller's program, and more; not of one that has ended.
	 */
	const Caller *caller;
	uid_t user; /* UBLK_CALLER_UID where nothing else is known of who it was; 0: not that */
} JournalAbout;

void journal_tell(JournalEvent event, const JournalAbout *about, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

/* Count an event that is not told, since there are too many. */
void journal_count(JournalEvent event);
/* How many of each there were since ublkd was started, a{st} of Manager.GetCounters; floating. */
GVariant *journal_describe_counts(void);

/*
 * From now on no line is more than a line, whatever users had put into it, nor changes a terminal
 * that it is shown on. First of all.
 */
void journal_init(void);

/* For tests: a copy of `text` with a "?" for each control character and each byte that is no UTF-8.
 */
char *journal_clean(const char *text, gssize len);
