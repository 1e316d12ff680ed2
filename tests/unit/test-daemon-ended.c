/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What ublkd remembers of devices that are gone: the last ones, of each user a few. */
#include "ended.h"

static void note(uid_t uid, guint32 id)
{
	g_autofree char *name = g_strdup_printf("name%u", id);

	ended_note(uid, id, name, 1, 2, "its server was killed");
}

/* The numbers of a user's, the last one first. */
static char *list(uid_t uid)
{
	g_autoptr(GVariant) all = g_variant_ref_sink(ended_describe(uid));
	g_autoptr(GString) text = g_string_new(NULL);

	for (gsize i = 0; i < g_variant_n_children(all); i++) {
		g_autoptr(GVariant) ended = g_variant_get_child_value(all, i);
		guint32 id;

		g_assert_true(g_variant_lookup(ended, "Id", "u", &id));
		g_string_append_printf(text, "%u ", id);
	}
	return g_string_free(g_steal_pointer(&text), FALSE);
}

static void assert_list(uid_t uid, const char *expected)
{
	g_autofree char *text = list(uid);

	g_assert_cmpstr(text, ==, expected);
}

static void test_what_is_told(void)
{
	g_autoptr(GVariant) all = NULL;
	g_autofree char *text = NULL;

	note(1000, 7);
	all = g_variant_ref_sink(ended_describe(1000));
	text = g_variant_print(all, FALSE);
	g_assert_cmpstr(text, ==,
			"[{'Id': <uint32 7>, 'Name': <'name7'>, 'OwnerUid': <uint32 1000>, "
			"'Ending': <'its server was killed'>, 'CreatedAt': <uint64 1>, "
			"'EndedAt': <uint64 2>}]");
	assert_list(1001, "");
}

/* One user's ends push out nobody else's, as long as there is room. */
static void test_room(void)
{
	for (guint32 id = 0; id < 20; id++)
		note(2000, id);
	note(2001, 99);
	assert_list(2000, "19 18 17 16 15 14 13 12 ");
	assert_list(2001, "99 ");
	for (guint32 id = 3000; id < 3000 + 2 * ENDED_TOTAL; id++)
		note(id, id);
	assert_list(2000, "");
	assert_list(3000 + ENDED_TOTAL - 1, "");
	assert_list(3000 + ENDED_TOTAL, "3128 ");
	assert_list(3000 + 2 * ENDED_TOTAL - 1, "3255 ");
}

/* Who asks about a number or a name asks about the last device of theirs that had it. */
static void test_forgotten(void)
{
	note(5000, 1);
	note(5000, 2);
	note(5000, 3);
	note(5001, 1);
	assert_list(5000, "3 2 1 ");
	assert_list(5001, "1 ");
	ended_forget(5002, 2, "name3");
	assert_list(5000, "3 2 1 ");
	ended_forget(5000, 2, "name7");
	assert_list(5000, "3 1 ");
	ended_forget(5000, 77, "name3");
	assert_list(5000, "1 ");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/daemon/ended/what-is-told", test_what_is_told);
	g_test_add_func("/daemon/ended/room", test_room);
	g_test_add_func("/daemon/ended/forgotten", test_forgotten);
	return g_test_run();
}
