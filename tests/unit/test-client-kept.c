/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that come back (client/kept.h), as an ordinary user: root's files are the machine's. */
#include <glib/gstdio.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mock-ublkd.h"

#define NOBODY 65534

static char *home, *folder, *work;

static gboolean exists(const char *path)
{
	return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void set_up(void)
{
	mock_up();
	mock_remove_device(0);
}

static void tear_down(void)
{
	g_assert_false(exists(folder));
	mock_down();
}

static void assert_status(const char *line, int status, const char *out)
{
	auto_client_result result = client_run(line);

	g_assert_cmpint(result.status, ==, status);
	g_assert_cmpstr(result.out, ==, out);
}

static void test_keep(void)
{
	set_up();
	assert_status("add -t null --size 1M --name work --keep", 0, "/dev/ublkb4\n");
	g_assert_true(exists(work));
	/* Nothing is asked of ublkd that could be undone only. */
	g_string_truncate(mock.calls, 0);
	assert_status("add -t null --size 2M --name work --keep", 5, "");
	g_assert_cmpstr(mock.calls->str, ==, "");
	assert_status("del work", 0, "");
	tear_down();
}

/* Names that lead to another file, or by which another device is deleted. */
static void test_names(void)
{
	static const char *const names[] = { "",  "a/b",    "../x",   "a\nb", ".a", "-a",
					     "7", "ublkb7", "ublkc7", "a b",  "ü" };
	g_autofree char *longest = g_strnfill(UBLK_NAME_MAX, 'a');
	g_autofree char *forget = g_strconcat("del ", longest, NULL);
	g_autofree char *longer =
		g_strconcat("add -t null --size 1M --keep --name ", longest, "a", NULL);

	set_up();
	for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *quoted = g_shell_quote(names[i]);
		g_autofree char *line =
			g_strconcat("add -t null --size 1M --keep --name=", quoted, NULL);

		assert_status(line, 2, "");
	}
	assert_status(longer, 2, "");
	g_assert_cmpstr(mock.calls->str, ==, "");
	g_assert_false(exists(folder));
	longer[strlen(longer) - 1] = '\0';
	assert_status(longer, 0, "/dev/ublkb4\n");
	assert_status(forget, 0, "");
	tear_down();
}

/* What the units run when they stop: such files may be written by hand. */
static void test_number_as_name(void)
{
	g_autofree char *line = g_strdup_printf("del --no-forget %u/7", getuid());

	set_up();
	mock_add_device(5, "7", getuid());
	mock_add_device(7, "other", getuid());
	assert_status(line, 0, "");
	g_assert_cmpstr(mock.calls->str, ==, "Delete " UBLK_BUS_DEVICES "/5\n");
	tear_down();
}

/* The device that could not be made, or nobody knows of, does not come back. */
static void test_not_made(void)
{
	set_up();
	mock.error = UBLK_BUS_ERROR_LIMIT_EXCEEDED;
	assert_status("add -t null --size 1M --name work --keep", 5, "");
	g_assert_false(exists(folder));
	mock.silent = TRUE;
	g_string_truncate(mock.calls, 0);
	{
		g_autoptr(GSubprocess)
			client = client_start("add -t null --size 1M --name work --keep");
		auto_client_result result = { 0 };

		while (!mock.calls->len)
			g_main_context_iteration(NULL, TRUE);
		g_subprocess_send_signal(client, SIGINT);
		result = client_end(client);
		g_assert_cmpint(result.status, ==, -SIGINT);
	}
	tear_down();
}

/* It is there all the same, and that is said. */
static void test_not_kept(void)
{
	auto_client_result result = { 0 };

	set_up();
	g_assert_cmpint(g_mkdir(folder, 0500), ==, 0);
	result = client_run("add -t null --size 1M --name work --keep");
	g_assert_cmpint(result.status, ==, 1);
	g_assert_cmpstr(result.out, ==, "");
	g_assert_nonnull(strstr(result.err, "/dev/ublkb4 is there, but will not come back: "));
	g_assert_cmpint(g_rmdir(folder), ==, 0);
	tear_down();
}

/* One that is on its way out is not there: ublkd says whether it can be made. */
static void test_present(void)
{
	set_up();
	g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
	g_assert_true(g_file_set_contents(work, "target=null\nsize=1048576\n", -1, NULL));
	mock_add_device(0, "work", getuid());
	assert_status("add --kept work", 0, "/dev/ublkb0\n");
	g_assert_cmpstr(mock.calls->str, ==, "");
	mock_set_state(0, UBLK_STATE_STOPPING);
	assert_status("add --kept work", 0, "/dev/ublkb4\n");
	assert_status("del work", 0, "");
	tear_down();
}

/* What is kept is neither more nor less than that. */
static void test_alone(void)
{
	static const char *const others[] = { "-t null",     "-f x",         "-q 4",
					      "--read-only", "--keep",       "--name more",
					      "--create 1M", "--preallocate" };

	set_up();
	g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
	g_assert_true(g_file_set_contents(work, "target=null\nsize=1048576\n", -1, NULL));
	for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
		g_autofree char *line = g_strconcat("add --kept work ", others[i], NULL);

		assert_status(line, 2, "");
	}
	g_assert_cmpstr(mock.calls->str, ==, "");
	assert_status("add --kept work --quiet --no-ask-password --timeout 60", 0, "/dev/ublkb4\n");
	assert_status("del work", 0, "");
	tear_down();
}

/* A file that cannot be read is not one that is not there. */
static void test_unreadable(void)
{
	set_up();
	g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
	g_assert_cmpint(g_mkdir(work, 0700), ==, 0);
	{
		auto_client_result result = client_run("add --kept work");
		auto_client_result none = client_run("add --kept other");

		g_assert_cmpint(result.status, ==, 1);
		g_assert_nonnull(strstr(result.err, "work.conf"));
		g_assert_null(strstr(result.err, "is kept"));
		g_assert_cmpint(none.status, ==, 3);
	}
	g_assert_cmpint(g_rmdir(work), ==, 0);
	g_assert_cmpint(chmod(folder, 0), ==, 0);
	assert_status("add --kept work", 1, "");
	assert_status("add -t null --size 1M --name work --keep", 1, "");
	g_assert_cmpstr(mock.calls->str, ==, "");
	g_assert_cmpint(g_rmdir(folder), ==, 0);
	tear_down();
}

/* A wrong word: nothing is done at all. And what could not be forgotten is told. */
static void test_forget(void)
{
	set_up();
	g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
	g_assert_true(g_file_set_contents(work, "target=null\nsize=1048576\n", -1, NULL));
	assert_status("del work nobody", 3, "");
	g_assert_true(exists(work));
	g_assert_cmpint(chmod(folder, 0500), ==, 0);
	{
		auto_client_result result = client_run("del work");

		g_assert_cmpint(result.status, ==, 1);
		g_assert_nonnull(strstr(result.err, "work is still kept: cannot remove"));
	}
	g_assert_cmpint(chmod(folder, 0700), ==, 0);
	assert_status("del work", 0, "");
	tear_down();
}

static void add_tests(void)
{
	g_test_add_func("/client/kept/keep", test_keep);
	g_test_add_func("/client/kept/names", test_names);
	g_test_add_func("/client/kept/number-as-name", test_number_as_name);
	g_test_add_func("/client/kept/present", test_present);
	g_test_add_func("/client/kept/alone", test_alone);
	g_test_add_func("/client/kept/unreadable", test_unreadable);
	g_test_add_func("/client/kept/forget", test_forget);
	g_test_add_func("/client/kept/not-made", test_not_made);
	g_test_add_func("/client/kept/not-kept", test_not_kept);
}

int main(int argc, char **argv)
{
	char *config;
	int status;

	if (getuid() == 0)
		g_assert_no_errno(setgroups(0, NULL) | setgid(NOBODY) | setuid(NOBODY));
	if (access(g_getenv("UBLK_CLIENT"), X_OK) < 0) {
		g_print("1..0 # SKIP only root may run what was built\n");
		return 0;
	}
	home = g_dir_make_tmp("ublk-kept-XXXXXX", NULL);
	config = g_build_filename(home, ".config", NULL);
	folder = g_build_filename(config, "ublk", NULL);
	work = g_build_filename(folder, "work.conf", NULL);
	g_assert_no_errno(g_mkdir(config, 0700));
	g_setenv("HOME", home, TRUE);
	/* A shell's, which the user's systemd does not have. */
	g_setenv("XDG_CONFIG_HOME", home, TRUE);
	status = mock_main(argc, argv, add_tests);
	g_rmdir(config);
	g_rmdir(home);
	g_free(config);
	g_free(home);
	g_free(folder);
	g_free(work);
	return status;
}
