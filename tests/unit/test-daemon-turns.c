/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose turn it is: users and their connections take turns, a user has so many in a second after a
 * burst, root as many as it likes, and what a connection has left behind is dropped. */
#include "daemon/descriptor.h"
#include "daemon/turns.h"

#define BURST 128
#define HOUR  (3600 * (gint64)G_USEC_PER_SEC)

static void add(const char *sender)
{
	gboolean is_new;
	Call *call = turns_enter(sender, 1, &is_new);

	g_assert_nonnull(call);
	turns_wait(call);
}

/* FALSE: nobody has a turn, and if somebody waits for one, *due is when. */
static gboolean do_next(gint64 *due)
{
	Call *call = turns_take(due);

	if (!call)
		return FALSE;
	g_assert_true(turns_next() == call);
	turns_done(call);
	return TRUE;
}

static guint do_all(gint64 *due)
{
	guint n = 0;

	while (do_next(due))
		n++;
	return n;
}

static void introduce(const char *sender, uid_t uid)
{
	gint64 due;

	add(sender);
	turns_introduce(sender, uid);
	g_assert_true(do_next(&due));
}

static void leave(const char *sender)
{
	uid_t uid;

	g_assert_null(turns_forget(sender, &uid));
}

static void paces_users(void)
{
	gint64 due, now = g_get_monotonic_time();

	turns_set_interval(HOUR);
	introduce(":1.1", 1000);
	introduce(":1.2", 1000);
	for (guint i = 0; i < BURST; i++) {
		add(":1.1");
		add(":1.2");
	}
	/* two of the burst were for the introductions */
	g_assert_cmpuint(do_all(&due), ==, BURST - 2);
	g_assert_cmpint(due, >=, now + HOUR);
	g_assert_cmpint(due, <=, g_get_monotonic_time() + HOUR);

	/* of another user there is nothing to wait for, and of root never */
	introduce(":1.3", 1001);
	introduce(":1.4", 0);
	for (guint i = 0; i < 3 * BURST; i++) {
		add(":1.4");
		g_assert_true(do_next(&due));
	}

	/* a new connection has no burst of its own, nor has who comes back */
	add(":1.5");
	turns_introduce(":1.5", 1000);
	g_assert_false(do_next(&due));
	leave(":1.1");
	leave(":1.2");
	leave(":1.5");
	g_assert_false(do_next(&due));
	g_assert_cmpint(due, ==, 0);
	add(":1.6");
	turns_introduce(":1.6", 1000);
	g_assert_false(do_next(&due));
	leave(":1.6");
	leave(":1.3");
	leave(":1.4");
}

static void tells_when_there_is_a_turn(void)
{
	gint64 due;

	turns_set_interval(G_USEC_PER_SEC / 2);
	introduce(":2.1", 2000);
	for (guint i = 0; i < BURST; i++)
		add(":2.1");
	while (do_all(&due) && due == 0)
		;
	g_assert_cmpint(due, >, 0);
	while (g_get_monotonic_time() < due)
		g_usleep(1000);
	g_assert_true(do_next(&due));
	leave(":2.1");
}

static void work(gint64 usec)
{
	gint64 end = g_get_monotonic_time() + usec;

	while (g_get_monotonic_time() < end)
		;
}

/* What ublkd is busy with between the calls is not for those who call to pay without an end. */
static void charges_no_more_than_a_call(void)
{
	gint64 due;

	turns_set_interval(1);
	introduce(":8.1", 8000);
	for (guint i = 0; i < 20; i++) {
		add(":8.1");
		work(15000);
		g_assert_true(do_next(&due));
	}
	for (guint i = 0; i < BURST; i++)
		add(":8.1");
	do_all(&due);
	g_assert_cmpint(due, <=, g_get_monotonic_time() + 100000);
	leave(":8.1");
}

/* Whoever has many connections has no more turns than who has one. */
static void takes_turns_by_user(void)
{
	gint64 due;
	Call *calls[2];

	turns_set_interval(1);
	introduce(":3.1", 3000);
	introduce(":3.2", 3000);
	introduce(":3.3", 3001);
	for (guint i = 0; i < 4; i++) {
		add(":3.1");
		add(":3.2");
	}
	add(":3.3");
	for (guint i = 0; i < 2; i++) {
		calls[i] = turns_take(&due);
		g_assert_true(turns_next() == calls[i]);
	}
	g_assert_true(calls[0]->sender != calls[1]->sender);
	turns_done(calls[0]);
	turns_done(calls[1]);
	/* the second was the other user's: were it not, that one's would be among the next */
	leave(":3.3");
	g_assert_cmpuint(do_all(&due), ==, 7);
	leave(":3.1");
	leave(":3.2");
}

/* Nobody is charged for what is not known to be theirs: it waits. */
static void gives_strangers_none(void)
{
	gboolean is_new;
	gint64 due;
	Call *call;

	call = turns_enter(":7.1", 1, &is_new);
	g_assert_true(is_new);
	turns_wait(call);
	call = turns_enter(":7.1", 1, &is_new);
	g_assert_false(is_new);
	turns_wait(call);
	g_assert_false(do_next(&due));
	g_assert_cmpint(due, ==, 0);
	turns_introduce(":7.1", 7000);
	g_assert_cmpuint(do_all(&due), ==, 2);
	leave(":7.1");
	/* and who leaves before */
	add(":7.2");
	leave(":7.2");
	turns_introduce(":7.2", 7000);
	g_assert_false(do_next(&due));
}

/* A look-up that failed does not make a connection nobody's for good, least of all root's. */
static void moves_those_of_nobody(void)
{
	gint64 due;
	uid_t uid;

	turns_set_interval(HOUR);
	add(":9.1");
	add(":9.2");
	turns_introduce(":9.1", DESCRIPTOR_OF_NOBODY);
	turns_introduce(":9.2", DESCRIPTOR_OF_NOBODY);
	/* they share a user's turns */
	for (guint i = 0; i < BURST - 1; i++)
		add(":9.1");
	g_assert_cmpuint(do_all(&due), ==, BURST);
	add(":9.2");
	g_assert_false(do_next(&due));

	/* one is root's, which has as many turns as it likes, for what waits already, too */
	turns_introduce(":9.2", 0);
	g_assert_true(do_next(&due));
	for (guint i = 0; i < BURST; i++) {
		add(":9.2");
		g_assert_true(do_next(&due));
	}
	g_assert_false(do_next(&due));
	/* and from then on it stays so */
	turns_introduce(":9.2", 9000);
	g_assert_null(turns_forget(":9.2", &uid));
	g_assert_cmpuint(uid, ==, 0);
	/* the other one, with a call that waits, which takes nothing along from there */
	turns_introduce(":9.1", 9000);
	g_assert_true(do_next(&due));
	g_assert_false(do_next(&due));
	leave(":9.1");
}

static void counts_weight(void)
{
	Call *small[2], *large;
	gboolean is_new;
	gint64 due;

	/* the first may have any size */
	large = turns_enter(":4.1", 1000, &is_new);
	g_assert_nonnull(large);
	turns_introduce(":4.1", 4000);
	g_assert_null(turns_enter(":4.1", 1, &is_new));
	turns_wait(large);
	g_assert_true(do_next(&due));
	small[0] = turns_enter(":4.1", 1, &is_new);
	small[1] = turns_enter(":4.1", 127, &is_new);
	g_assert_nonnull(small[0]);
	g_assert_nonnull(small[1]);
	g_assert_null(turns_enter(":4.1", 1, &is_new));
	turns_wait(small[0]);
	turns_wait(small[1]);
	g_assert_cmpuint(do_all(&due), ==, 2);
	leave(":4.1");
}

/* Who leaves in the middle: what waits is dropped with its descriptors, what is under way ends. */
static void forgets(void)
{
	gint64 due;
	Call *call, *under_way, *incomplete;
	gboolean is_new;
	GSList *left;
	uid_t uid;

	turns_set_interval(1);
	introduce(":5.1", 5000);
	add(":5.1");
	under_way = turns_take(&due);
	g_assert_true(turns_next() == under_way);
	incomplete = turns_enter(":5.1", 1, &is_new);
	for (guint i = 0; i < 3; i++) {
		call = turns_enter(":5.1", 1, &is_new);
		call->message = g_malloc(10);
		if (i)
			call->fds = g_unix_fd_list_new();
		turns_wait(call);
	}
	left = turns_forget(":5.1", &uid);
	g_assert_cmpuint(uid, ==, 5000);
	g_assert_cmpuint(g_slist_length(left), ==, 2);
	g_slist_free_full(left, g_object_unref);
	g_assert_false(do_next(&due));
	turns_done(under_way);
	turns_wait(incomplete);
	g_assert_true(do_next(&due));
	g_assert_false(do_next(&due));
	leave(":5.1");
}

static void gives_a_few_at_once(void)
{
	Call *calls[20];
	guint n = 0;
	gint64 due;

	introduce(":6.1", 6000);
	for (guint i = 0; i < G_N_ELEMENTS(calls); i++)
		add(":6.1");
	while (n < G_N_ELEMENTS(calls) && (calls[n] = turns_take(&due)))
		n++;
	g_assert_cmpuint(n, ==, 8);
	for (guint i = 0; i < n; i++) {
		g_assert_true(turns_next() == calls[i]);
		turns_done(calls[i]);
	}
	g_assert_cmpuint(do_all(&due), ==, 12);
	leave(":6.1");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/turns/paces-users", paces_users);
	g_test_add_func("/turns/tells-when-there-is-a-turn", tells_when_there_is_a_turn);
	g_test_add_func("/turns/takes-turns-by-user", takes_turns_by_user);
	g_test_add_func("/turns/gives-strangers-none", gives_strangers_none);
	g_test_add_func("/turns/moves-those-of-nobody", moves_those_of_nobody);
	g_test_add_func("/turns/counts-weight", counts_weight);
	g_test_add_func("/turns/charges-no-more-than-a-call", charges_no_more_than_a_call);
	g_test_add_func("/turns/forgets", forgets);
	g_test_add_func("/turns/gives-a-few-at-once", gives_a_few_at_once);
	return g_test_run();
}
