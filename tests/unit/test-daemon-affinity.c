/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A queue's processors as the list that ublk-server's --queue-cpus and people read. */
#include "daemon/affinity.h"

static void formats_lists(void)
{
	static const struct {
		guint8 bits[4];
		const char *list;
	} all[] = {
		{ { 0 }, "" },
		{ { 0x01 }, "0" },
		{ { 0x03 }, "0-1" },
		{ { 0x0d }, "0,2-3" },
		{ { 0x80, 0x01 }, "7-8" },
		{ { 0xff, 0xff, 0xff, 0xff }, "0-31" },
		{ { 0x00, 0x00, 0x00, 0x80 }, "31" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
		g_autofree char *list = affinity_format(all[i].bits, sizeof(all[i].bits));

		g_assert_cmpstr(list, ==, all[i].list);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/affinity/formats-lists", formats_lists);
	return g_test_run();
}
