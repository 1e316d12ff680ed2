/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* State files: what was written is read again, what is damaged is not believed. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/error.h"
#include "daemon/state.h"

static char *dir;

static char *file(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static void reads_what_it_wrote(void)
{
	State written = { .id = 3,
			  .cookie = 0x0123456789abcdef,
			  .uid = 1000,
			  .gid = 1001,
			  .name = (char *)"disk",
			  .target = (char *)"loop",
			  /* whatever a path may hold, it cannot add a line of its own */
			  .backing = (char *)"/a b\nNAME=evil\t\\\"\001\377",
			  .unit = (char *)"ublk-server-3.service",
			  .buffers = (char *)"server 0/4096/:1.7 3/65536/- ",
			  .live = TRUE,
			  .created_at = 1700000000000000 };
	g_autofree char *path = file("3");
	g_autoptr(GError) error = NULL;
	g_autoptr(State) state = NULL;
	struct stat st;

	g_assert_true(state_write(&written, &error));
	g_assert_no_error(error);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
	state = state_read(3);
	g_assert_nonnull(state);
	g_assert_cmpuint(state->cookie, ==, written.cookie);
	g_assert_cmpuint(state->uid, ==, 1000);
	g_assert_cmpuint(state->gid, ==, 1001);
	g_assert_cmpstr(state->name, ==, "disk");
	g_assert_cmpstr(state->backing, ==, written.backing);
	g_assert_cmpstr(state->unit, ==, written.unit);
	g_assert_null(state->sender);
	g_assert_cmpstr(state->buffers, ==, written.buffers);
	g_assert_true(state->live);
	g_assert_false(state->prompted);
	g_assert_cmpint(state->created_at, ==, written.created_at);
	state_remove(3);
	g_assert_null(state_read(3));
}

static void does_not_believe_what_is_damaged(void)
{
	static const char *const damaged[] = {
		"",
		"\n\n",
		"garbage",
		"COOKIE=0\nNAME=x\n",
		"COOKIE=12\n",
		"COOKIE=12\nNAME=../x\n",
		"COOKIE=12\nNAME=\n",
		"NAME=x\n",
	};
	g_autofree char *path = file("4");

	for (gsize i = 0; i < G_N_ELEMENTS(damaged); i++) {
		g_assert_true(g_file_set_contents(path, damaged[i], -1, NULL));
		g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*is damaged*");
		g_assert_null(state_read(4));
	}
	state_remove(4);
}

static void lists_numbers_and_clears_leftovers(void)
{
	g_autofree char *number = file("17");
	g_autofree char *leftover = file("17.X4G2A1");
	g_autoptr(GArray) ids = NULL;

	g_assert_true(g_file_set_contents(number, "", 0, NULL));
	g_assert_true(g_file_set_contents(leftover, "", 0, NULL));
	ids = state_list();
	g_assert_cmpuint(ids->len, ==, 1);
	g_assert_cmpuint(g_array_index(ids, guint32, 0), ==, 17);
	g_assert_cmpint(access(leftover, F_OK), ==, -1);
	state_remove(17);
}

static void says_when_it_cannot_write(void)
{
	State state = { .id = 1, .cookie = 1, .name = (char *)"x" };
	g_autoptr(GError) error = NULL;

	state_use_directory("/proc/nonexistent");
	g_assert_false(state_write(&state, &error));
	g_assert_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED);
	state_use_directory(dir);
}

int main(int argc, char **argv)
{
	int result;

	g_test_init(&argc, &argv, NULL);
	dir = g_dir_make_tmp("ublkd-state-XXXXXX", NULL);
	state_use_directory(dir);
	g_log_set_always_fatal(G_LOG_FATAL_MASK);
	g_test_add_func("/state/reads-what-it-wrote", reads_what_it_wrote);
	g_test_add_func("/state/does-not-believe-what-is-damaged",
			does_not_believe_what_is_damaged);
	g_test_add_func("/state/lists-numbers-and-clears-leftovers",
			lists_numbers_and_clears_leftovers);
	g_test_add_func("/state/says-when-it-cannot-write", says_when_it_cannot_write);
	result = g_test_run();
	g_rmdir(dir);
	g_free(dir);
	return result;
}
