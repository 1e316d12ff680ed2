/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "accounts.h"

#include <errno.h>
#include <gio/gio.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "error.h"

/* An entry's strings; getpwuid_r() says when it needs more. */
#define FIRST_ENTRY 1024
#define MAX_ENTRY   (1 << 24) /* a group may have many members */

/* The kernel's own limit of a process's groups. */
#define MAX_GROUPS 65536

static gboolean find_number(const char *name, guint32 *id)
{
	guint64 number;

	/* the last one means "none" to the kernel */
	if (!g_ascii_string_to_unsigned(name, 10, 0, G_MAXUINT32 - 1, &number, NULL))
		return FALSE;
	*id = (guint32)number;
	return TRUE;
}

/* How "nobody has this" is said differs between databases. */
static gboolean is_absent(int err)
{
	return !err || err == ENOENT || err == ESRCH;
}

int accounts_find_user(const char *name, uid_t *uid)
{
	struct passwd entry, *found = NULL;
	int err = ERANGE;

	if (find_number(name, uid))
		return 0;
	for (gsize size = FIRST_ENTRY; err == ERANGE && size <= MAX_ENTRY; size *= 4) {
		g_autofree char *strings = g_malloc(size);

		err = getpwnam_r(name, &entry, strings, size, &found);
	}
	if (!found)
		return is_absent(err) ? ENOENT : err;
	*uid = entry.pw_uid;
	return 0;
}

int accounts_find_group(const char *name, gid_t *gid)
{
	struct group entry, *found = NULL;
	int err = ERANGE;

	if (find_number(name, gid))
		return 0;
	for (gsize size = FIRST_ENTRY; err == ERANGE && size <= MAX_ENTRY; size *= 4) {
		g_autofree char *strings = g_malloc(size);

		err = getgrnam_r(name, &entry, strings, size, &found);
	}
	if (!found)
		return is_absent(err) ? ENOENT : err;
	*gid = entry.gr_gid;
	return 0;
}

static GArray *list_groups(const char *name, gid_t primary)
{
	g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
	int n = 64, room;

	do {
		room = n;
		g_array_set_size(groups, (guint)room);
		if (getgrouplist(name, primary, (gid_t *)(gpointer)groups->data, &n) >= 0) {
			g_array_set_size(groups, (guint)n);
			return g_steal_pointer(&groups);
		}
	} while (n > room && n <= MAX_GROUPS);
	return NULL;
}

static GArray *find_groups(uid_t uid, GError **error)
{
	struct passwd entry, *found = NULL;
	int err = ERANGE;

	for (gsize size = FIRST_ENTRY; err == ERANGE && size <= MAX_ENTRY; size *= 4) {
		g_autofree char *strings = g_malloc(size);
		GArray *groups;

		err = getpwuid_r(uid, &entry, strings, size, &found);
		if (!found)
			continue;
		groups = list_groups(entry.pw_name, entry.pw_gid);
		if (groups)
			return groups;
		err = E2BIG;
	}
	if (is_absent(err))
		return g_array_new(FALSE, FALSE, sizeof(gid_t));
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
		    "cannot find out which groups user %u is in, which ublkd.conf has limits for: "
		    "%s",
		    uid, g_strerror(err));
	return NULL;
}

/* ---- questions: who is in which groups ---- */

/*
 * Each may take the database as long as it likes, and whoever has subordinate ids is as many users
 * as they like. So a user is one question, whoever waits for it; so many are put at once, in
 * threads that nothing else waits for, a reload least of all; and those whom the database has named
 * before come first, since they cannot be made up.
 */
#define MAX_ASKED 4
/* How long an answer is good. */
#define KEEP_USEC (5 * G_USEC_PER_SEC)
/* Users that are kept in mind although nothing about them is. */
#define MAX_IDLE 64

typedef struct {
	AccountsDone done;
	gpointer user_data;
} Waiter;

typedef struct {
	uid_t uid;
	gboolean is_named; /* the database has had it */
	GArray *groups;    /* the last answer, or NULL */
	gint64 until;      /* when that is no longer good; monotonic */
	gboolean is_under_way;
	GArray *waiting; /* of Waiter */
} Account;

/* What a thread gets, and brings back. */
typedef struct {
	Account *account; /* not to be looked at there */
	uid_t uid;
	gboolean is_first;
	guint64 number;
	GArray *groups; /* or NULL, and `error` */
	GError *error;
} Question;

static GHashTable *accounts; /* uid → Account */
static GThreadPool *pool;

static void account_free(gpointer data)
{
	Account *account = data;

	g_clear_pointer(&account->groups, g_array_unref);
	g_array_unref(account->waiting);
	g_free(account);
}

static gboolean is_good(const Account *account)
{
	return account->groups && g_get_monotonic_time() < account->until;
}

static gboolean is_forgettable(gpointer key, gpointer value, gpointer unused)
{
	const Account *account = value;

	return !account->is_named && !account->is_under_way && !is_good(account);
}

static Account *find_account(uid_t uid)
{
	Account *account = g_hash_table_lookup(accounts, GUINT_TO_POINTER(uid));

	if (account)
		return account;
	if (g_hash_table_size(accounts) >= MAX_IDLE)
		g_hash_table_foreach_remove(accounts, is_forgettable, NULL);
	account = g_new0(Account, 1);
	account->uid = uid;
	account->waiting = g_array_new(FALSE, FALSE, sizeof(Waiter));
	g_hash_table_insert(accounts, GUINT_TO_POINTER(uid), account);
	return account;
}

static void answer(Account *account, const GError *error)
{
	g_autoptr(GArray) told = account->waiting;
	g_autoptr(GArray) groups = error ? NULL : g_array_ref(account->groups);

	account->waiting = g_array_new(FALSE, FALSE, sizeof(Waiter));
	account->is_under_way = FALSE;
	for (guint i = 0; i < told->len; i++) {
		const Waiter *waiter = &g_array_index(told, Waiter, i);

		waiter->done(groups ? g_array_ref(groups) : NULL, error, waiter->user_data);
	}
}

static gboolean on_good(gpointer account)
{
	answer(account, NULL);
	return G_SOURCE_REMOVE;
}

static gboolean on_asked(gpointer user_data)
{
	g_autofree Question *question = user_data;
	g_autoptr(GError) error = question->error;
	Account *account = question->account;

	g_clear_pointer(&account->groups, g_array_unref);
	account->groups = question->groups;
	account->until = g_get_monotonic_time() + KEEP_USEC;
	if (account->groups)
		account->is_named = account->groups->len > 0;
	answer(account, error);
	return G_SOURCE_REMOVE;
}

static void run(gpointer data, gpointer unused)
{
	Question *question = data;

	question->groups = find_groups(question->uid, &question->error);
	g_idle_add_full(G_PRIORITY_DEFAULT, on_asked, question, NULL);
}

static int by_turn(gconstpointer a, gconstpointer b, gpointer unused)
{
	const Question *one = a, *other = b;

	if (one->is_first != other->is_first)
		return one->is_first ? -1 : 1;
	return one->number < other->number ? -1 : 1;
}

static void ask(Account *account)
{
	static guint64 asked;
	Question *question = g_new0(Question, 1);

	question->account = account;
	question->uid = account->uid;
	question->is_first = account->is_named || account->uid == 0;
	question->number = ++asked;
	/* what does not get a thread now waits for one */
	g_thread_pool_push(pool, question, NULL);
}

void accounts_ask_groups(uid_t uid, AccountsDone done, gpointer user_data)
{
	const Waiter waiter = { done, user_data };
	Account *account;

	if (!accounts) {
		accounts = g_hash_table_new_full(NULL, NULL, NULL, account_free);
		pool = g_thread_pool_new(run, NULL, MAX_ASKED, FALSE, NULL);
		g_thread_pool_set_sort_function(pool, by_turn, NULL);
	}
	account = find_account(uid);
	g_array_append_val(account->waiting, waiter);
	if (account->is_under_way)
		return;
	account->is_under_way = TRUE;
	if (is_good(account))
		g_idle_add_full(G_PRIORITY_DEFAULT, on_good, account, NULL);
	else
		ask(account);
}
