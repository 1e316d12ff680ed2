/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journald drops what a service says beyond some thousand lines in half a minute, whatever it is,
 * and every line costs. So a user whose calls are refused, or allowed, all the time, who may want
 * just that, has a number of lines, and what is told of the others' devices is not lost among them.
 * Who has subordinate ids is as many users as it likes: all of them but root together have a number
 * of lines too.
 */
#include "audit.h"

#include "journal.h"

/* So many lines of one user in so many seconds; then how many more there were. */
#define MAX_REFUSED    20
#define MAX_ALLOWED    60
#define MAX_OPENED     60
#define MAX_SHARING    20
#define MAX_ALL        1000
#define PERIOD_SECONDS 10

/* Whose call it was, when that is not known. */
#define NOBODY ((uid_t)-1)

typedef struct {
	guint told, untold;
} Count;

typedef struct {
	Count refused, allowed, opened, sharing;
} User;

static GHashTable *users; /* uid → User, in this period; NULL: there is none */
static guint told_of_all; /* lines, in this period; not root's */

static void print_user(uid_t uid, char text[16])
{
	if (uid == NOBODY)
		g_strlcpy(text, "unknown", 16);
	else
		g_snprintf(text, 16, "%u", uid);
}

static gboolean take_room(uid_t uid)
{
	if (uid == 0)
		return TRUE;
	if (told_of_all == MAX_ALL)
		return FALSE;
	told_of_all++;
	return TRUE;
}

/* How many of it are still to be told of. */
static guint tell_untold(uid_t uid, const Count *count, const char *what, const char *done)
{
	JournalAbout about = { .user = uid == NOBODY ? 0 : uid };
	char user[16];

	if (!count->untold || !take_room(uid))
		return count->untold;
	print_user(uid, user);
	journal_tell(JOURNAL_UNTOLD, &about, "%u more %s of user %s were %s in %d seconds",
		     count->untold, what, user, done, PERIOD_SECONDS);
	return 0;
}

static gboolean on_period_over(gpointer unused)
{
	guint untold = 0;
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, users);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		uid_t uid = GPOINTER_TO_UINT(key);
		const User *user = value;

		untold += tell_untold(uid, &user->refused, "calls", "refused");
		untold += tell_untold(uid, &user->allowed, "calls", "allowed");
		untold += tell_untold(uid, &user->opened, "openings", "made");
		untold += tell_untold(uid, &user->sharing, "changes of shared memory", "made");
	}
	if (untold)
		journal_tell(JOURNAL_UNTOLD, &(JournalAbout){ 0 },
			     "%u more calls of other users were allowed or refused in %d seconds",
			     untold, PERIOD_SECONDS);
	g_clear_pointer(&users, g_hash_table_unref);
	told_of_all = 0;
	return G_SOURCE_REMOVE;
}

static User *user_get(uid_t uid)
{
	User *user;

	if (!users) {
		users = g_hash_table_new_full(NULL, NULL, NULL, g_free);
		g_timeout_add_seconds(PERIOD_SECONDS, on_period_over, NULL);
	}
	user = g_hash_table_lookup(users, GUINT_TO_POINTER(uid));
	if (!user) {
		user = g_new0(User, 1);
		g_hash_table_insert(users, GUINT_TO_POINTER(uid), user);
	}
	return user;
}

static gboolean may_tell(uid_t uid, Count *count, guint max)
{
	if (count->told == max || !take_room(uid)) {
		count->untold++;
		return FALSE;
	}
	count->told++;
	return TRUE;
}

gboolean audit_may_tell_sharing(const Device *device)
{
	return may_tell(device->uid, &user_get(device->uid)->sharing, MAX_SHARING);
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
	uid_t uid = call->caller->uid;

	if (!may_tell(uid, &user_get(uid)->allowed, MAX_ALLOWED))
		journal_count(JOURNAL_ALLOWED);
	else
		journal_tell(JOURNAL_ALLOWED, &about,
			     "%s of %s allowed to user %u, process %d, by %s: %s", call->operation,
			     call->object, uid, call->caller->pid, call->action, by);
}

void audit_opened(const Device *device, const Caller *caller)
{
	if (!may_tell(caller->uid, &user_get(caller->uid)->opened, MAX_OPENED))
		journal_count(JOURNAL_OPENED);
	else
		journal_tell(JOURNAL_OPENED, &(JournalAbout){ .device = device, .caller = caller },
			     "device %u of user %u: opened for user %u", device->id, device->uid,
			     caller->uid);
}

void audit_refused(const AuditCall *call, const char *message)
{
	uid_t uid = call->caller ? call->caller->uid : NOBODY;
	JournalAbout about = about_call(call);
	char user[16];

	if (!may_tell(uid, &user_get(uid)->refused, MAX_REFUSED)) {
		journal_count(JOURNAL_REFUSED);
		return;
	}
	print_user(uid, user);
	journal_tell(JOURNAL_REFUSED, &about, "%s of %s refused to user %s: %s", call->operation,
		     call->object, user, message);
}
