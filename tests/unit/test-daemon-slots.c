/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* So many of one user's devices are made at once, and nobody waits for another user's. */
#include "slots.h"

#define PLACES 4

static GString *order;

static void on_ready(gpointer name)
{
	g_string_append_printf(order, "%s ", (const char *)name);
}

static void run(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void assert_order(const char *expected)
{
	run();
	g_assert_cmpstr(order->str, ==, expected);
	g_string_truncate(order, 0);
}

static void takes_turns(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g" };
	Slot *slots[G_N_ELEMENTS(names)], *other;

	for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
		slots[i] = slot_wait(1000, on_ready, (char *)names[i]);
	/* not before the main loop */
	g_assert_cmpstr(order->str, ==, "");
	assert_order("a b c d ");
	other = slot_wait(1001, on_ready, (char *)"other");
	assert_order("other ");
	slot_free(other);
	assert_order("");
	slot_free(slots[2]);
	assert_order("e ");
	/* who gives up in the queue leaves it, and takes nobody's place */
	slot_hurry(slots[6]);
	assert_order("g ");
	slot_free(slots[6]);
	assert_order("");
	/* one that was told nothing yet is not told any more */
	slot_free(slots[0]);
	slot_free(slots[5]);
	assert_order("");
	slot_free(slots[1]);
	slot_free(slots[3]);
	slot_free(slots[4]);
	slot_free(NULL);
	for (gsize i = 0; i < PLACES; i++)
		slots[i] = slot_wait(1000, on_ready, (char *)names[i]);
	assert_order("a b c d ");
	for (gsize i = 0; i < PLACES; i++)
		slot_free(slots[i]);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	order = g_string_new(NULL);
	g_test_add_func("/slots/takes-turns", takes_turns);
	return g_test_run();
}
