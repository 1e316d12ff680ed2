/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A user database that takes its time: one user's calls, or many users', keep nobody else's long.
 */
#include <dlfcn.h>
#include <errno.h>
#include <gio/gio.h>
#include <grp.h>
#include <pwd.h>

#include "daemon/accounts.h"

/* ---- the database: users from 100000 on are not in it, of each other one the group is given ----
 */

#define STRANGER 100000

static GMutex lock; /* of what follows */
static GCond changed;
static GArray *asked; /* of guint: users, in the order in which it was asked for them */
static guint permits; /* so many answers it gives; then it keeps who asks waiting */
static gboolean fails;
static gid_t group = 10;

/* In place of the C library's. */
int getpwuid_r(uid_t uid, struct passwd *entry, char *strings, size_t size, struct passwd **found)
{
	int err;

	g_mutex_lock(&lock);
	g_array_append_val(asked, uid);
	g_cond_broadcast(&changed);
	while (!permits)
		g_cond_wait(&changed, &lock);
	permits--;
	err = fails ? EIO : 0;
	g_mutex_unlock(&lock);
	*found = err || uid >= STRANGER ? NULL : entry;
	*entry = (struct passwd){ .pw_name = strings, .pw_gid = 1 };
	*strings = '\0';
	return err;
}

int getgrouplist(const char *name, gid_t primary, gid_t *groups, int *n)
{
	g_mutex_lock(&lock);
	groups[0] = group;
	g_mutex_unlock(&lock);
	*n = 1;
	return 1;
}

static void permit(guint n)
{
	g_mutex_lock(&lock);
	permits = n;
	g_cond_broadcast(&changed);
	g_mutex_unlock(&lock);
}

static guint count_asked(void)
{
	guint n;

	g_mutex_lock(&lock);
	n = asked->len;
	g_mutex_unlock(&lock);
	return n;
}

/* Returns how often it has been asked after a while in which it could have been asked more often.
 */
static guint wait_for_asked(guint n)
{
	gint64 end = g_get_real_time() + 10 * G_USEC_PER_SEC;

	while (count_asked() < n && g_get_real_time() < end)
		g_usleep(1000);
	g_usleep(20000);
	return count_asked();
}

static void forget_asked(void)
{
	g_mutex_lock(&lock);
	g_array_set_size(asked, 0);
	g_mutex_unlock(&lock);
}

/* ---- time ---- */

static gint64 skipped;

/* In place of GLib's: the seconds in which an answer is good go by at once. */
gint64 g_get_monotonic_time(void)
{
	gint64 (*get)(void) = dlsym(RTLD_NEXT, "g_get_monotonic_time");

	return get() + skipped;
}

/* ---- who asks ---- */

static guint answers, refusals;
static gid_t answered; /* 0: in no group */

static void on_groups(GArray *groups, const GError *error, gpointer unused)
{
	answers++;
	refusals += error != NULL;
	g_assert_true(!groups == (error != NULL));
	answered = groups && groups->len ? g_array_index(groups, gid_t, 0) : 0;
	g_clear_pointer(&groups, g_array_unref);
}

static void ask(uid_t uid)
{
	accounts_ask_groups(uid, on_groups, NULL);
}

static void wait_for_answers(guint n)
{
	while (answers < n)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpuint(answers, ==, n);
	answers = 0;
}

static void is_asked_once_for_a_user(void)
{
	permit(0);
	for (guint i = 0; i < 100; i++)
		ask(1000);
	g_assert_cmpuint(wait_for_asked(1), ==, 1);
	g_assert_cmpuint(answers, ==, 0);
	permit(100);
	wait_for_answers(100);
	g_assert_cmpuint(answered, ==, 10);

	/* what it has said counts for some seconds, and no longer */
	group = 11;
	ask(1000);
	wait_for_answers(1);
	g_assert_cmpuint(answered, ==, 10);
	g_assert_cmpuint(count_asked(), ==, 1);
	skipped += 5 * G_USEC_PER_SEC;
	ask(1000);
	wait_for_answers(1);
	g_assert_cmpuint(answered, ==, 11);
	g_assert_cmpuint(count_asked(), ==, 2);

	/* also of those whom it does not have */
	ask(STRANGER);
	wait_for_answers(1);
	g_assert_cmpuint(answered, ==, 0);
	ask(STRANGER);
	wait_for_answers(1);
	g_assert_cmpuint(count_asked(), ==, 3);
}

static void is_asked_again_after_an_error(void)
{
	forget_asked();
	permit(100);
	fails = TRUE;
	ask(1001);
	wait_for_answers(1);
	g_assert_cmpuint(refusals, ==, 1);
	fails = FALSE;
	ask(1001);
	wait_for_answers(1);
	g_assert_cmpuint(refusals, ==, 1);
	g_assert_cmpuint(answered, ==, 11);
	g_assert_cmpuint(count_asked(), ==, 2);
}

static void run(GTask *task, gpointer source, gpointer user_data, GCancellable *cancellable)
{
	g_task_return_boolean(task, TRUE);
}

static void on_ran(GObject *source, GAsyncResult *result, gpointer user_data)
{
	*(gboolean *)user_data = TRUE;
}

static void is_asked_for_few_users_at_once(void)
{
	g_autoptr(GTask) task = NULL;
	gboolean ran = FALSE;

	forget_asked();
	permit(0);
	skipped += 5 * G_USEC_PER_SEC;
	for (uid_t i = 0; i < 40; i++)
		ask(STRANGER + 1 + i);
	g_assert_cmpuint(wait_for_asked(4), ==, 4);

	/* what else is done in threads, as a reload is, does not wait for that */
	task = g_task_new(NULL, NULL, on_ran, &ran);
	g_task_run_in_thread(task, run);
	while (!ran)
		g_main_context_iteration(NULL, TRUE);

	/* root, and a user whom the database knows, are next; then the others in the order in which
	 * they came */
	ask(1000);
	ask(0);
	for (guint i = 0; i < 4; i++) {
		permit(1);
		g_assert_cmpuint(wait_for_asked(5 + i), ==, 5 + i);
	}
	g_assert_cmpuint(g_array_index(asked, guint, 4), ==, 1000);
	g_assert_cmpuint(g_array_index(asked, guint, 5), ==, 0);
	g_assert_cmpuint(g_array_index(asked, guint, 6), ==, STRANGER + 5);
	g_assert_cmpuint(g_array_index(asked, guint, 7), ==, STRANGER + 6);
	permit(100);
	wait_for_answers(42);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	asked = g_array_new(FALSE, FALSE, sizeof(guint));
	g_test_add_func("/accounts/is-asked-once-for-a-user", is_asked_once_for_a_user);
	g_test_add_func("/accounts/is-asked-again-after-an-error", is_asked_again_after_an_error);
	g_test_add_func("/accounts/is-asked-for-few-users-at-once", is_asked_for_few_users_at_once);
	return g_test_run();
}
