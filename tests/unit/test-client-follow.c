/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What follows devices: cdi --watch, monitor, stat, wait. */
#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "mock-ublkd.h"

/* What is in the file, NULL: there is none. */
static char *read_file(const char *path)
{
	char *text = NULL;

	g_file_get_contents(path, &text, NULL, NULL);
	return text;
}

static void wait_for_file(const char *path, const char *word, gboolean wanted)
{
	for (;;) {
		g_autofree char *text = read_file(path);

		if ((text && strstr(text, word)) == wanted)
			return;
		while (g_main_context_iteration(NULL, FALSE))
			;
		g_usleep(1000);
	}
}

static void test_cdi(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-cdi-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "org.ublk-disk.json", NULL);
	g_autofree char *line = g_strdup_printf("cdi %s", folder);
	g_autofree char *watch = g_strdup_printf("cdi --watch --all --timeout 3 %s", folder);
	g_autofree char *name = g_strdup_printf("\"name\": \"%u-work\"", getuid());

	mock_up();
	mock_add_device(5, "bad-", getuid());
	{
		auto_client_result result = client_run(line);
		g_autofree char *text = read_file(path);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_nonnull(strstr(result.out, path));
		g_assert_nonnull(strstr(text, "\"kind\": \"org.ublk/disk\""));
		g_assert_nonnull(strstr(text, "\"hostPath\": \"/dev/ublkb0\""));
		/* Root has everybody's, under names that are each one's own. */
		g_assert_nonnull(strstr(text, getuid() == 0 ? "\"0-work\"" : "\"work\""));
		g_assert_true((strstr(text, "hers") != NULL) == (getuid() == 0));
		/* A name that CDI does not allow would make all of it invalid. */
		g_assert_null(strstr(text, "ublkb5"));
	}
	{
		gint64 over = g_get_monotonic_time() + 3100000;
		g_autoptr(GSubprocess) client = client_start(watch);
		auto_client_result ended = { 0 };

		client_read_line(client, path);
		wait_for_file(path, name, TRUE);
		/* --timeout was for the file. */
		g_usleep(MAX(over - g_get_monotonic_time(), 0));
		mock_add_device(6, "later", getuid());
		wait_for_file(path, "-later\"", TRUE);
		g_dbus_object_manager_server_unexport(mock.objects, UBLK_BUS_DEVICES "/6");
		wait_for_file(path, "-later\"", FALSE);
		/* Nothing left: no file, since CDI has no empty one. */
		g_dbus_object_manager_server_unexport(mock.objects, UBLK_BUS_DEVICES "/0");
		g_dbus_object_manager_server_unexport(mock.objects, UBLK_BUS_DEVICES "/3");
		wait_for_file(path, "{", FALSE);
		mock_add_device(0, "work", getuid());
		wait_for_file(path, name, TRUE);
		g_subprocess_send_signal(client, SIGTERM);
		ended = client_end(client);
		g_assert_cmpint(ended.status, ==, 0);
		g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	}
	mock_down();
	g_assert_cmpint(g_rmdir(folder), ==, 0);
}

/* The next line, which must have all of these in it. */
static void read_event(GSubprocess *client, const char *expected, ...)
{
	g_autofree char *line = client_read_any_line(client);
	va_list more;

	g_test_message("%s", line);
	va_start(more, expected);
	for (; expected; expected = va_arg(more, const char *))
		if (!line || !strstr(line, expected))
			g_error("“%s” is not in the line “%s”", expected, line);
	va_end(more);
}

static struct client_result end_by(GSubprocess *client, int signal)
{
	g_subprocess_send_signal(client, signal);
	return client_end(client);
}

/* Nobody there and nobody to start: that is told at once, and not waited for. */
static void test_absent(void)
{
	auto_client_result monitor = client_run("monitor");
	auto_client_result wait = client_run("wait --for gone work");

	g_assert_cmpint(monitor.status, ==, 1);
	g_assert_nonnull(strstr(monitor.err, "systemctl start ublkd"));
	g_assert_cmpint(wait.status, ==, 1);
}

/* What is there, what comes, changes and goes; one's own, unless all are asked for. */
static void test_monitor(void)
{
	g_autoptr(GSubprocess) client = NULL;

	mock_up();
	client = client_start("monitor --json 0 more");
	read_event(client, "{\"version\": 1,\"time\": \"2", "\"event\": \"present\"",
		   "\"name\": \"work\"", NULL);
	read_event(client, "\"event\": \"ready\"", NULL);
	mock_add_device(4, "nobody's", getuid());
	mock_add_device(5, "more", getuid());
	read_event(client, "\"event\": \"added\"", "\"name\": \"more\"", NULL);
	mock_set_state(5, "stopping");
	read_event(client, "\"event\": \"changed\"", "\"changed\": [\"state\"]",
		   "\"state\": \"stopping\"", NULL);
	mock_remove_device(5);
	read_event(client, "\"event\": \"removed\"", "\"id\": 5", NULL);
	{
		auto_client_result result = end_by(client, SIGINT);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_cmpstr(result.err, ==, "");
	}
	g_clear_object(&client);
	mock_remove_device(4);
	client = client_start("monitor -a");
	read_event(client, "present  /dev/ublkb0  ", "/work  live  size 64M  target loop", NULL);
	read_event(client, "present  /dev/ublkb3  ", "/hers  live", NULL);
	mock_set_state(3, "stop\033ping");
	read_event(client, "changed  /dev/ublkb3  ", "/hers  live ", " stop\\x1bping", NULL);
	mock_set_server_error(3, "read of\a 4096 bytes failed");
	read_event(client, "changed  /dev/ublkb3  ", "/hers  read of\\x07 4096 bytes failed", NULL);
	mock_set_ending(3, "its server was\a killed");
	read_event(client, "changed  /dev/ublkb3  ", "/hers  its server was\\x07 killed", NULL);
	{
		auto_client_result info = client_run("info 3");

		g_assert_nonnull(
			strstr(info.out, "Goes away:           its server was\\x07 killed\n"));
		g_assert_nonnull(
			strstr(info.out, "Server's last error: read of\\x07 4096 bytes failed\n"));
	}
	{
		auto_client_result result = end_by(client, SIGTERM);

		g_assert_cmpint(result.status, ==, 0);
	}
	mock_down();
}

/* What happened while ublkd was away is told when it is back; it is not started for that. */
static void test_monitor_restart(void)
{
	g_autoptr(GSubprocess) client = NULL;

	mock_up();
	mock_add_device(5, "more", getuid());
	mock_add_device(6, "most", getuid());
	client = client_start("monitor --json work more most new");
	read_event(client, "present", "work", NULL);
	read_event(client, "present", "more", NULL);
	read_event(client, "present", "most", NULL);
	read_event(client, "ready", NULL);
	g_bus_unown_name(mock.name);
	read_event(client, "\"event\": \"lost\"", NULL);
	/* Nobody's signals now. */
	mock_set_state(0, "stopping");
	mock_remove_device(5);
	mock_remove_device(6);
	mock_add_device(6, "new", getuid());
	{
		g_autoptr(UblkBusDevice) another = mock_get_device(6);

		ublk_bus_device_set_created_at(another, 1);
	}
	mock_take_name();
	read_event(client, "removed", "more", NULL);
	read_event(client, "changed", "\"changed\": [\"state\"]", "work", NULL);
	/* Another one with the same number. */
	read_event(client, "removed", "most", NULL);
	read_event(client, "added", "new", NULL);
	read_event(client, "\"event\": \"back\"", NULL);
	mock_set_state(0, "dead");
	read_event(client, "changed", "work", "dead", NULL);
	{
		auto_client_result result = end_by(client, SIGTERM);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "");
	}
	mock_down();
}

/* Signals that are not ublkd's say nothing: anybody on the bus can send them. */
static void test_monitor_forged(void)
{
	g_autoptr(GSubprocess) client = NULL;
	g_autoptr(GDBusConnection) other = g_dbus_connection_new_for_address_sync(
		g_test_dbus_get_bus_address(mock.bus),
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
			G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
		NULL, NULL, NULL);
	static const char *const interfaces[] = { UBLK_BUS_DEVICE_INTERFACE, NULL };

	mock_up();
	client = client_start("monitor --json work");
	read_event(client, "present", NULL);
	read_event(client, "ready", NULL);
	g_assert_true(g_dbus_connection_emit_signal(
		other, NULL, UBLK_BUS_ROOT, "org.freedesktop.DBus.ObjectManager",
		"InterfacesRemoved", g_variant_new("(o^as)", UBLK_BUS_DEVICES "/0", interfaces),
		NULL));
	g_assert_true(g_dbus_connection_flush_sync(other, NULL, NULL));
	mock_set_state(0, "stopping");
	read_event(client, "changed", NULL);
	{
		auto_client_result result = end_by(client, SIGTERM);

		g_assert_cmpint(result.status, ==, 0);
	}
	mock_down();
}

/* Devices that the kernel does not know have no figures; the rest of it is tested with real ones.
 */
static void test_stat(void)
{
	mock_up();
	mock_add_device(5, "more", getuid());
	mock_add_device(6, "made", getuid());
	mock_set_state(6, "created");
	{
		auto_client_result text = client_run("stat -c 1 -i 0.1");
		auto_client_result json = client_run("stat --json -c 2 -i 0.1 work");
		auto_client_result none = client_run("stat nothing");
		auto_client_result wrong = client_run("stat -i 0");

		g_assert_cmpint(text.status, ==, 0);
		g_assert_nonnull(strstr(text.out, "\nDEVICE       NAME "));
		g_assert_nonnull(strstr(text.out, "\n/dev/ublkb0  work    -    -       -"));
		g_assert_nonnull(strstr(text.out, "\n/dev/ublkb5  more    -    -       -"));
		/* Not live, so not served. */
		g_assert_null(strstr(text.out, "/dev/ublkb6"));
		g_assert_null(strchr(text.out, '\033'));
		g_assert_true(g_str_has_prefix(json.out, "{\"version\": 1,\"time\": \"2"));
		g_assert_nonnull(strstr(json.out, "\"name\": \"work\""));
		g_assert_nonnull(strstr(json.out, "\"reads\": null,"));
		g_assert_null(strstr(json.out, "more"));
		/* One line for each report. */
		g_assert_cmpstr(strchr(strchr(json.out, '\n') + 1, '\n'), ==, "\n");
		g_assert_cmpint(none.status, ==, 3);
		g_assert_cmpint(wrong.status, ==, 2);
	}
	mock_down();
}

/* Nobody reads it: what follows devices ends, and no verb says that all is well. */
static void test_output_full(void)
{
	static const char *const lines[] = { "monitor",     "monitor --json",
					     "stat -i 0.1", "stat --json -i 0.1",
					     "list -a",     "list -aq" };

	mock_up();
	/* More than what is written only in the end. */
	for (guint32 id = 10; id < 400; id++)
		mock_add_device(id, "a-device", getuid());
	for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_autoptr(GSubprocessLauncher)
			launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE);
		g_autofree char *line = g_strdup_printf("%s %s", g_getenv("UBLK_CLIENT"), lines[i]);
		g_auto(GStrv) words = g_strsplit(line, " ", -1);
		g_autoptr(GSubprocess) client = NULL;
		auto_client_result result = { 0 };

		g_subprocess_launcher_set_stdout_file_path(launcher, "/dev/full");
		client = g_subprocess_launcher_spawnv(launcher, (const char *const *)words, NULL);
		result = client_end(client);
		g_assert_cmpint(result.status, ==, 1);
		g_assert_nonnull(strstr(result.err, "cannot write to the standard output"));
	}
	mock_down();
}

static gboolean take_output(int fd, GIOCondition condition, gpointer data)
{
	char text[4096];
	gssize length = read(fd, text, sizeof(text));

	/* EIO: nobody has the other end any more. */
	if (length <= 0)
		return G_SOURCE_REMOVE;
	g_string_append_len(data, text, length);
	return G_SOURCE_CONTINUE;
}

/* On a terminal a table takes the last one's place, and nothing is changed that has to be restored.
 */
static void test_stat_on_terminal(void)
{
	g_autoptr(GSubprocessLauncher)
		launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
	g_autoptr(GSubprocess) client = NULL;
	g_autoptr(GString) shown = g_string_new(NULL);
	struct winsize size = { .ws_col = 60, .ws_row = 3 };
	int master, slave;

	if (openpty(&master, &slave, NULL, NULL, &size) < 0) {
		g_test_skip("there are no pseudo-terminals");
		return;
	}
	mock_up();
	mock_add_device(5, "more", getuid());
	g_subprocess_launcher_take_stdout_fd(launcher, slave);
	g_subprocess_launcher_setenv(launcher, "TERM", "xterm", TRUE);
	g_unix_fd_add(master, G_IO_IN | G_IO_HUP, take_output, shown);
	client = g_subprocess_launcher_spawn(launcher, NULL, g_getenv("UBLK_CLIENT"), "stat", "-a",
					     "-i", "0.1", NULL);
	/* Two lines are all that fits: the heading and a device. */
	while (!strstr(shown->str, "\r\033[2A"))
		g_main_context_iteration(NULL, TRUE);
	g_subprocess_send_signal(client, SIGINT);
	g_assert_true(g_subprocess_wait_check(client, NULL, NULL));
	while (g_main_context_iteration(NULL, FALSE))
		;
	g_assert_nonnull(strstr(shown->str, "/dev/ublkb0"));
	g_assert_null(strstr(shown->str, "/dev/ublkb5"));
	/* No other screen, no hidden cursor; at the end a line that is free for the shell. */
	g_assert_null(strstr(shown->str, "\033[?"));
	g_assert_true(g_str_has_suffix(shown->str, "\r\033[K"));
	mock_down();
	g_source_remove_by_user_data(shown);
	close(master);
}

static void test_wait_live(void)
{
	g_autoptr(GSubprocess) client = NULL;

	mock_up();
	{
		auto_client_result now = client_run("wait work 3");
		auto_client_result quiet = client_run("wait -q work");
		auto_client_result json = client_run("wait --json work 3");
		auto_client_result list = client_run("list -a --json");
		auto_client_result wrong = client_run("wait --for ever work");
		auto_client_result late = client_run("wait --timeout 0.1 later");

		g_assert_cmpint(now.status, ==, 0);
		g_assert_cmpstr(now.out, ==, "/dev/ublkb0\n/dev/ublkb3\n");
		g_assert_cmpstr(quiet.out, ==, "");
		g_assert_cmpint(quiet.status, ==, 0);
		g_assert_cmpint(json.status, ==, 0);
		g_assert_cmpstr(json.out, ==, list.out);
		g_assert_cmpint(wrong.status, ==, 2);
		g_assert_cmpint(late.status, ==, 6);
		g_assert_nonnull(strstr(late.err, "“later” is not live"));
	}
	/* By the signals of one that comes, over a restart of ublkd. */
	g_atomic_int_set(&mock.lists, 0);
	client = client_start("wait later work");
	mock_wait_for_watchers(1);
	mock_add_device(5, "later", getuid());
	mock_set_state(5, "created");
	g_bus_unown_name(mock.name);
	mock_take_name();
	mock_set_state(5, "starting");
	mock_set_state(5, "live");
	{
		auto_client_result result = client_end(client);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "/dev/ublkb5\n/dev/ublkb0\n");
	}
	mock_down();
}

static void test_wait_gone(void)
{
	g_autoptr(GSubprocess) gone = NULL, live = NULL, why = NULL;

	mock_up();
	mock_add_device(0x30, "0", getuid());
	mock_set_state(0, "starting");
	{
		auto_client_result never = client_run("wait --for gone nothing");
		auto_client_result json = client_run("wait --for gone --json nothing");
		auto_client_result which = client_run("wait --for gone 0");

		g_assert_cmpint(never.status, ==, 0);
		g_assert_cmpstr(never.out, ==, "");
		g_assert_cmpstr(json.out, ==, "{\n  \"version\": 1,\n  \"devices\": []\n}\n");
		g_assert_cmpint(which.status, ==, 2);
		g_assert_nonnull(strstr(which.err, "/dev/ublkb0"));
		g_assert_nonnull(strstr(which.err, "/dev/ublkb48"));
	}
	g_atomic_int_set(&mock.lists, 0);
	gone = client_start("wait --for gone work");
	live = client_start("wait work");
	why = client_start("wait --for gone --json work");
	mock_wait_for_watchers(3);
	mock_set_ending(0, "its server was killed");
	/* The next one with the number is another one. */
	mock_remove_device(0);
	mock_add_device(0, "work", getuid());
	{
		auto_client_result result = client_end(gone);
		auto_client_result other = client_end(live);
		auto_client_result last = client_end(why);

		g_assert_cmpint(last.status, ==, 0);
		g_assert_nonnull(strstr(last.out, "\"name\": \"work\""));
		g_assert_nonnull(strstr(last.out, "\"ending\": \"its server was killed\""));
		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_cmpint(other.status, ==, 3);
		g_assert_nonnull(
			strstr(other.err, "“work” will not be live any more, it goes away: "));
	}
	mock_down();
}

static void add_tests(void)
{
	g_test_add_func("/client/verbs/cdi", test_cdi);
	g_test_add_func("/client/monitor/absent", test_absent);
	g_test_add_func("/client/monitor/events", test_monitor);
	g_test_add_func("/client/monitor/restart", test_monitor_restart);
	g_test_add_func("/client/monitor/forged", test_monitor_forged);
	g_test_add_func("/client/verbs/stat", test_stat);
	g_test_add_func("/client/verbs/stat-on-terminal", test_stat_on_terminal);
	g_test_add_func("/client/verbs/output-full", test_output_full);
	g_test_add_func("/client/wait/live", test_wait_live);
	g_test_add_func("/client/wait/gone", test_wait_gone);
}

int main(int argc, char **argv)
{
	return mock_main(argc, argv, add_tests);
}
