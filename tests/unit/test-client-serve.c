/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `serve`: its server is a script here, and always ends with it. */
#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mock-ublkd.h"

#define SERVER_READY "printf 'READY=1\\nsize=1048576\\n' >&4\nexec 4>&-\nexec sleep 1000"
/* What it does when it is told to end. */
#define SERVER_ENDING(does)                   \
	"trap 'trap : TERM; " does "' TERM\n" \
	"printf 'READY=1\\nsize=1048576\\n' >&4\nexec 4>&-\nwhile :; do sleep 0.1; done"

/* A server that notes its arguments, says what @says does and stays. */
static char *write_server(const char *folder, const char *says)
{
	char *path = g_build_filename(folder, "server", NULL);
	g_autofree char *script = g_strdup_printf(
		"#!/bin/sh\nfor word; do printf '%%s ' \"$word\"; done > %s/arguments\n"
		"readlink /proc/self/fd/3 > %s/char\n%s\n",
		folder, folder, says);

	g_assert_true(
		g_file_set_contents_full(path, script, -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));
	g_setenv("UBLK_SERVER", path, TRUE);
	return path;
}

/* The test's own limit is meson's. */
static void assert_server_gone(void)
{
	struct pollfd end = { .fd = mock.server_pidfd, .events = POLLIN };

	g_assert_cmpint(mock.server_pidfd, >=, 0);
	g_assert_cmpint(poll(&end, 1, 10000), ==, 1);
}

static void assert_server_runs(void)
{
	struct pollfd end = { .fd = mock.server_pidfd, .events = POLLIN };

	g_assert_cmpint(poll(&end, 1, 0), ==, 0);
}

static char *serve_up(char **folder, const char *says)
{
	mock_up();
	*folder = g_dir_make_tmp("ublk-serve-XXXXXX", NULL);
	return write_server(*folder, says);
}

static void serve_down(char *folder, char *server)
{
	g_autofree char *arguments = g_build_filename(folder, "arguments", NULL);
	g_autofree char *character = g_build_filename(folder, "char", NULL);

	g_unlink(server);
	g_unlink(arguments);
	g_unlink(character);
	g_rmdir(folder);
	mock_down();
}

static void test_serve(void)
{
	g_autofree char *folder = NULL, *arguments = NULL, *character = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_ENDING("exit 0"));
	g_autofree char *path = g_build_filename(folder, "arguments", NULL);
	g_autofree char *char_path = g_build_filename(folder, "char", NULL);
	g_autoptr(GSubprocess)
		client = client_start("serve -t null --size 1M --name served -q 7 --read-only");

	client_read_line(client, "/dev/ublkb9");
	assert_server_runs();
	/* The properties' numbers, not those that were asked for. */
	g_assert_true(g_file_get_contents(path, &arguments, NULL, NULL));
	g_assert_cmpstr(arguments, ==,
			"-t null --size 1048576 --read-only --char-fd 3 --report-fd 4 --id 9 "
			"--queues 2 --depth 64 --max-io-size 524288 --flags 0x22 "
			"--queue-cpus 0-1:2,3 ");
	g_assert_true(g_file_get_contents(char_path, &character, NULL, NULL));
	g_assert_cmpstr(character, ==, "/dev/null\n");
	g_assert_cmpstr(mock.report, ==, "READY=1\nsize=1048576\n");
	/* The kernel's word for who reported is the process that the pidfd is of. */
	{
		g_autofree char *info = g_strdup_printf("/proc/self/fdinfo/%d", mock.server_pidfd);
		g_autofree char *wanted = g_strdup_printf("\nPid:\t%d\n", mock.report_pid);
		g_autofree char *text = NULL;

		g_assert_true(g_file_get_contents(info, &text, NULL, NULL));
		g_assert_nonnull(strstr(text, wanted));
	}

	g_subprocess_send_signal(client, SIGINT);
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.err, ==, "");
	}
	assert_server_gone();
	g_assert_cmpstr(mock.calls->str, ==,
			"CreateDevice {'name': <'served'>, 'queues': <uint32 7>}\n"
			"OpenReport {'created-at': <uint64 1700000000000009>}\nStart\n"
			"Delete /org/ublk1/devices/9\n");
	serve_down(folder, server);
}

/* The synchronization of the backing at the end has no time limit, and its failure is ours. */
static void test_serve_synchronizes(void)
{
	static const struct {
		const char *says;
		int status;
		const char *error;
	} ends[] = {
		{ SERVER_ENDING("sleep 9; : > $0.durable; exit 0"), 0, "" },
		{ SERVER_ENDING(": > $0.durable; exit 1"), 1,
		  "the server of /dev/ublkb9 failed with status 1" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
		g_autofree char *folder = NULL;
		g_autofree char *server = serve_up(&folder, ends[i].says);
		g_autofree char *durable = g_strconcat(server, ".durable", NULL);
		g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M");

		client_read_line(client, "/dev/ublkb9");
		g_subprocess_send_signal(client, SIGINT);
		{
			auto_client_result result = client_end(client);

			g_assert_cmpint(result.status, ==, ends[i].status);
			g_assert_nonnull(strstr(result.err, ends[i].error));
		}
		g_assert_cmpint(g_unlink(durable), ==, 0);
		assert_server_gone();
		serve_down(folder, server);
	}
}

/* Who does not want to wait for that interrupts it again. */
static void test_serve_interrupted_twice(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_ENDING("sleep 2; exit 0"));
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M");

	client_read_line(client, "/dev/ublkb9");
	g_subprocess_send_signal(client, SIGINT);
	while (!strstr(mock.calls->str, "Delete"))
		g_main_context_iteration(NULL, TRUE);
	g_subprocess_send_signal(client, SIGINT);
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, -SIGINT);
	}
	assert_server_gone();
	serve_down(folder, server);
}

/* --timeout is for the way to a device that is served, not for its life. */
static void test_serve_outlives_timeout(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_ENDING("exit 0"));
	gint64 over = g_get_monotonic_time() + 4100000;
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M --timeout 4");

	client_read_line(client, "/dev/ublkb9");
	g_usleep(MAX(over - g_get_monotonic_time(), 0));
	g_subprocess_send_signal(client, SIGINT);
	/* Delete is not answered at once. */
	g_usleep(100000);
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.err, ==, "");
	}
	g_assert_nonnull(strstr(mock.calls->str, "Delete /org/ublk1/devices/9\n"));
	serve_down(folder, server);
}

/* Once, and at once: a program reads it while the device is served. */
static void test_serve_json(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_ENDING("exit 0"));
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M --json");
	g_autoptr(GString) text = g_string_new(NULL);

	while (!g_str_has_suffix(text->str, "\n}\n")) {
		g_autofree char *line = client_read_any_line(client);

		g_assert_nonnull(line);
		g_string_append_printf(text, "%s\n", line);
	}
	assert_server_runs();
	g_assert_nonnull(strstr(text->str, "\"version\": 1,"));
	g_assert_nonnull(strstr(text->str, "\"block_device\": \"/dev/ublkb9\""));
	g_assert_nonnull(strstr(text->str, "\"state\": \"live\""));
	g_subprocess_send_signal(client, SIGINT);
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "");
	}
	serve_down(folder, server);
}

/* ublkd does not say what is to be shown: who waits for that can be interrupted. */
static void test_serve_not_shown(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_READY);
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M --json");

	while (!strstr(mock.calls->str, "OpenReport"))
		g_main_context_iteration(NULL, TRUE);
	g_atomic_int_set(&mock.mute, TRUE);
	while (!strstr(mock.calls->str, "Start"))
		g_main_context_iteration(NULL, TRUE);
	while (g_atomic_int_get(&mock.ignored) == 0)
		g_usleep(1000);
	g_subprocess_send_signal(client, SIGTERM);
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, -SIGTERM);
		g_assert_cmpstr(result.out, ==, "");
	}
	assert_server_gone();
	serve_down(folder, server);
}

/* No client, no server: nobody would be left to end it. */
static void test_serve_killed(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_READY);
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M");

	client_read_line(client, "/dev/ublkb9");
	g_subprocess_send_signal(client, SIGKILL);
	assert_server_gone();
	g_subprocess_wait(client, NULL, NULL);
	serve_down(folder, server);
}

static void test_serve_server_killed(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_READY);
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M");

	client_read_line(client, "/dev/ublkb9");
	mock_signal_server(SIGKILL);
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, 1);
		g_assert_nonnull(strstr(result.err, "killed by signal 9"));
	}
	g_assert_nonnull(strstr(mock.calls->str, "Delete /org/ublk1/devices/9\n"));
	serve_down(folder, server);
}

/* ublkd's answer is what the user reads, and nothing is left behind. */
static void test_serve_not_started(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_READY);
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M");

	while (!strstr(mock.calls->str, "CreateDevice"))
		g_main_context_iteration(NULL, TRUE);
	mock.error = UBLK_BUS_ERROR_NOT_SUPPORTED;
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, 1);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_true(g_str_has_prefix(result.err, "ublk-client serve: the reason"));
	}
	assert_server_gone();
	g_assert_nonnull(strstr(mock.calls->str, "Delete /org/ublk1/devices/9\n"));
	serve_down(folder, server);
}

/* A server that dies before it reports must not leave ublkd waiting for the report. */
static void test_serve_dies_at_once(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, "echo 'server: no io_uring' >&2; exit 1");
	g_autoptr(GSubprocess) client = client_start("serve -t null --size 1M");

	while (!strstr(mock.calls->str, "CreateDevice"))
		g_main_context_iteration(NULL, TRUE);
	mock.error = UBLK_BUS_ERROR_NOT_SUPPORTED;
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, 1);
		/* What the server says reaches the user too. */
		g_assert_nonnull(strstr(result.err, "server: no io_uring\n"));
	}
	g_assert_cmpstr(mock.report, ==, "");
	serve_down(folder, server);
}

/* The time is over while it is made: it is deleted all the same. */
static void test_serve_too_late(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_READY);

	mock.silent = TRUE;
	{
		auto_client_result result = client_run("serve -t null --size 1M --timeout 3");

		g_assert_cmpint(result.status, ==, 6);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_nonnull(strstr(result.err, "within 3 s (--timeout)"));
	}
	assert_server_gone();
	g_assert_nonnull(strstr(mock.calls->str, "Start\nDelete /org/ublk1/devices/9\n"));
	serve_down(folder, server);
}

static void test_serve_no_server(void)
{
	mock_up();
	g_setenv("UBLK_SERVER", "/no/such/ublk-server", TRUE);
	{
		auto_client_result result = client_run("serve -t null --size 1M");

		g_assert_cmpint(result.status, ==, 1);
		g_assert_nonnull(strstr(result.err, "/no/such/ublk-server"));
	}
	g_assert_nonnull(strstr(mock.calls->str, "Delete /org/ublk1/devices/9\n"));
	mock_down();
}

static void add_tests(void)
{
	g_test_add_func("/client/serve/until-interrupted", test_serve);
	g_test_add_func("/client/serve/outlives-timeout", test_serve_outlives_timeout);
	g_test_add_func("/client/serve/synchronizes", test_serve_synchronizes);
	g_test_add_func("/client/serve/interrupted-twice", test_serve_interrupted_twice);
	g_test_add_func("/client/serve/json", test_serve_json);
	g_test_add_func("/client/serve/not-shown", test_serve_not_shown);
	g_test_add_func("/client/serve/killed", test_serve_killed);
	g_test_add_func("/client/serve/server-killed", test_serve_server_killed);
	g_test_add_func("/client/serve/not-started", test_serve_not_started);
	g_test_add_func("/client/serve/server-dies-at-once", test_serve_dies_at_once);
	g_test_add_func("/client/serve/too-late", test_serve_too_late);
	g_test_add_func("/client/serve/no-server", test_serve_no_server);
}

int main(int argc, char **argv)
{
	return mock_main(argc, argv, add_tests);
}
