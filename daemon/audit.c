/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journald drops what a service says beyond some thousand lines in half a minute, whatever it is,
 * and every line costs. So a user whose calls are refused, or allowed, all the time, who may want
 * just that, has a number of lines, and what is told of the others' devices is not lost among them.
 */
#include "audit.h"

#include "journal.h"

/* So many lines of one user in so many seconds; then how many more there were. */
#define MAX_REFUSED    20
#define MAX_ALLOWED    60
#define MAX_SHARING    20
#define PERIOD_SECONDS 10

/* Whose call it was, when that is not known. */
#define NOBODY ((uid_t)-1)

typedef struct {
	guint told, untold;
} Count;

typedef struct {
	uid_t uid;
	Count refused, allowed, sharing;
} Period;

static GHashTable *periods; /* uid → Period; there is one as long as it lasts */

static void print_user(uid_t uid, char text[16])
{
	if (uid == NOBODY)
		g_strlcpy(text, "unknown", 16);
	else
		g_snprintf(text, 16, "%u", uid);
}

static void tell_untold(const Period *period, const Count *count, const char *what,
			const char *done)
{
	JournalAbout about = { .user = period->uid == NOBODY ? 0 : period->uid };
	char user[16];

	if (!count->untold)
		return;
	print_user(period->uid, user);
	journal_tell(JOURNAL_UNTOLD, &about, "%u more %s of user %s were %s in %d seconds",
		     count->untold, what, user, done, PERIOD_SECONDS);
}

static gboolean on_period_over(gpointer user_data)
{
	Period *period = user_data;

	tell_untold(period, &period->refused, "calls", "refused");
	tell_untold(period, &period->allowed, "calls", "allowed");
	tell_untold(period, &period->sharing, "changes of shared memory", "made");
	g_hash_table_remove(periods, GUINT_TO_POINTER(period->uid));
	return G_SOURCE_REMOVE;
}

static Period *period_get(uid_t uid)
{
	Period *period;

	if (!periods)
		periods = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	period = g_hash_table_lookup(periods, GUINT_TO_POINTER(uid));
	if (!period) {
		period = g_new0(Period, 1);
		period->uid = uid;
		g_hash_table_insert(periods, GUINT_TO_POINTER(uid), period);
		g_timeout_add_seconds(PERIOD_SECONDS, on_period_over, period);
	}
	return period;
}

static gboolean may_tell(Count *count, guint max)
{
	if (count->told == max) {
		count->untold++;
		return FALSE;
	}
	count->told++;
	return TRUE;
}

gboolean audit_may_tell_sharing(const Device *device)
{
	return may_tell(&period_get(device->uid)->sharing, MAX_SHARING);
}

static JournalAbout about_call(const AuditCall *call)
{
	return (JournalAbout){
		.device = call->device,
		.action = call->operation,
		.polkit = call->action,
		.caller = call->caller,
	};
}

void audit_allowed(const AuditCall *call, const char *by)
{
	JournalAbout about = about_call(call);

	if (!may_tell(&period_get(call->caller->uid)->allowed, MAX_ALLOWED))
		journal_count(JOURNAL_ALLOWED);
	else
		journal_tell(JOURNAL_ALLOWED, &about,
			     "%s of %s allowed to user %u, process %d, by %s: %s", call->operation,
			     call->object, call->caller->uid, call->caller->pid, call->action, by);
}

void audit_refused(const AuditCall *call, const char *message)
{
	uid_t uid = call->caller ? call->caller->uid : NOBODY;
	JournalAbout about = about_call(call);
	char user[16];

	if (!may_tell(&period_get(uid)->refused, MAX_REFUSED)) {
		journal_count(JOURNAL_REFUSED);
		return;
	}
	print_user(uid, user);
	journal_tell(JOURNAL_REFUSED, &about, "%s of %s refused to user %s: %s", call->operation,
		     call->object, user, message);
}
