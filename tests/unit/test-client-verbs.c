/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs that ask ublkd once and print the answer. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mock-ublkd.h"

#define JSON_OF_DEVICES "{\n  \"version\": 1,\n  \"devices\": [\n    {\n      "

/* The device that was found, not the next that has its number. */
#define CREATED_AT "'created-at': <uint64 1700000000000000>"

static void test_add(void)
{
	mock_up();
	{
		auto_client_result result = client_run("add -t null --size 1G -q 2");

		/* Nothing but the path: scripts take it as it is. */
		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "/dev/ublkb4\n");
		g_assert_cmpstr(result.err, ==, "");
		g_assert_cmpstr(
			mock.calls->str, ==,
			"null {'queues': <uint32 2>, 'size': <uint64 1073741824>}\nmay ask\n");
	}
	{
		auto_client_result result =
			client_run("add -t null --size 1G --no-ask-password --quiet");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_nonnull(strstr(mock.calls->str, "may not ask\n"));
	}
	mock_down();
}

/* Who made it, or changed it, is told all that `info` would tell. */
static void test_show(void)
{
	g_autofree char *start =
		g_strdup_printf("start work --server %d --size 32M --json", getpid());
	const char *const lines[] = {
		"add -t null --size 1G --json",
		"resize work 32M --json",
		start,
	};

	mock_up();
	mock_add_device(4, "new", getuid());
	for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
		auto_client_result result = client_run(lines[i]);
		auto_client_result info = client_run(i == 0 ? "info --json new" : "info --json 0");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_true(g_str_has_prefix(result.out, JSON_OF_DEVICES));
		g_assert_nonnull(strstr(result.out, "\"backing_file\": \"/home/me/disk.img\""));
		/* As it is now, not as it was found. */
		g_assert_cmpstr(result.out, ==, info.out);
		g_assert_true((strstr(result.out, "\"size\": 33554432,") != NULL) == (i > 0));
	}
	mock_remove_device(4);
	{
		/* It was made, and has gone by the time that it is asked for. */
		auto_client_result gone = client_run("add -t null --size 1G --json");

		g_assert_cmpint(gone.status, ==, 3);
		g_assert_cmpstr(gone.out, ==, "");
		g_assert_true(g_str_has_prefix(
			gone.err,
			"ublk-client add: ublkd does not say what became of /dev/ublkb4"));
	}
	mock_down();
}

static void test_create(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-create-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "new.img", NULL);
	g_autofree char *line = g_strdup_printf("add -t loop -f %s --create 1M", path);
	struct stat st;

	mock_up();
	mock.error = UBLK_BUS_ERROR_LIMIT_EXCEEDED;
	{
		auto_client_result refused = client_run(line);

		g_assert_cmpint(refused.status, ==, 5);
		g_assert_nonnull(strstr(mock.calls->str, path));
		g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	}
	mock.error = NULL;
	{
		auto_client_result made = client_run(line);

		g_assert_cmpint(made.status, ==, 0);
		g_assert_cmpint(g_stat(path, &st), ==, 0);
		g_assert_cmpint(st.st_size, ==, 1 << 20);
	}
	/* The bar is for terminals: nothing but the path here. */
	g_assert_cmpint(g_unlink(path), ==, 0);
	{
		g_autofree char *reserving = g_strconcat(line, " --preallocate", NULL);
		auto_client_result made = client_run(reserving);
		auto_client_result again = client_run(reserving);

		g_assert_cmpint(made.status, ==, 0);
		g_assert_cmpstr(made.out, ==, "/dev/ublkb4\n");
		g_assert_cmpstr(made.err, ==, "");
		g_assert_cmpint(again.status, ==, 5);
		g_assert_nonnull(strstr(again.err, "exists already"));
		g_assert_cmpint(g_stat(path, &st), ==, 0);
		g_assert_cmpint(st.st_blocks, >=, 2048);
	}
	g_assert_cmpint(g_unlink(path), ==, 0);
	g_assert_cmpint(g_rmdir(folder), ==, 0);
	mock_down();
}

/* Somebody made the path lead elsewhere: there is no device of what is there, and no new file. */
static void test_create_exchanged(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-create-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "new.img", NULL);
	g_autofree char *line = g_strdup_printf("add -t loop -f %s --create 1M --name x", path);

	mock_up();
	mock_add_device(4, "x", getuid());
	mock.exchanged = TRUE;
	{
		auto_client_result result = client_run(line);

		g_assert_cmpint(result.status, ==, 1);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_nonnull(strstr(result.err, "put something else in its place"));
		g_assert_nonnull(strstr(mock.calls->str, "Delete /org/ublk1/devices/4\n"));
		g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	}
	g_assert_cmpint(g_rmdir(folder), ==, 0);
	mock_down();
}

static void test_errors(void)
{
	static const struct {
		const char *error;
		int status;
	} errors[] = {
		{ UBLK_BUS_ERROR_INVALID_ARGUMENT, 2 }, { UBLK_BUS_ERROR_NOT_FOUND, 3 },
		{ UBLK_BUS_ERROR_ACCESS_DENIED, 4 },    { UBLK_BUS_ERROR_INTERACTIVE, 4 },
		{ UBLK_BUS_ERROR_LIMIT_EXCEEDED, 5 },   { UBLK_BUS_ERROR_EXISTS, 5 },
		{ UBLK_BUS_ERROR_TIMED_OUT, 6 },        { UBLK_BUS_ERROR_KERNEL, 1 },
	};

	mock_up();
	for (gsize i = 0; i < G_N_ELEMENTS(errors); i++) {
		auto_client_result result = { 0 };

		mock.error = errors[i].error;
		result = client_run("add -t null --size 1G");
		g_assert_cmpint(result.status, ==, errors[i].status);
		g_assert_cmpstr(result.out, ==, "");
		/* One line, without GDBus's own words in front. */
		g_assert_true(g_str_has_prefix(result.err, "ublk-client add: the reason"));
		g_assert_true(strchr(result.err, '\n') == result.err + strlen(result.err) - 1);
	}
	mock_down();
}

static void test_absent(void)
{
	auto_client_result result = client_run("list");

	g_assert_cmpint(result.status, ==, 1);
	g_assert_cmpstr(result.out, ==, "");
	g_assert_nonnull(strstr(result.err, "systemctl start ublkd"));
}

static void test_list(void)
{
	mock_up();
	{
		auto_client_result own = client_run("list");
		auto_client_result all = client_run("list -a --json");

		g_assert_cmpint(own.status, ==, 0);
		g_assert_nonnull(strstr(own.out, "/dev/ublkb0"));
		/* Root sees everybody's. */
		g_assert_true((strstr(own.out, "/dev/ublkb3") != NULL) == (getuid() == 0));
		g_assert_nonnull(strstr(all.out, "\"name\": \"hers\""));
	}
	mock_down();
}

static void test_info(void)
{
	mock_up();
	{
		auto_client_result own = client_run("info work");
		auto_client_result other = client_run("info 3 --json");
		auto_client_result none = client_run("info 17");

		g_assert_nonnull(strstr(own.out, "/home/me/disk.img"));
		/* Not being told the path is no error. */
		g_assert_cmpint(other.status, ==, 0);
		g_assert_cmpstr(other.err, ==, "");
		g_assert_nonnull(strstr(other.out, "\"backing_file\": null"));
		g_assert_cmpint(none.status, ==, 3);
		/* Nobody wants to read that nothing is shared; programs want the key always. */
		g_assert_nonnull(strstr(own.out, "\nShared memory:       64K (65536 bytes)\n"));
		g_assert_nonnull(strstr(other.out, "\"shared_memory\": 0,"));
	}
	{
		auto_client_result other = client_run("info 3");

		g_assert_null(strstr(other.out, "Shared memory"));
	}
	mock_down();
}

/* Who looks for a device that went away by itself learns why, by whatever word they look. */
static void test_info_of_lost(void)
{
	static const char *const words[] = { "lost", "5", "/dev/ublkb5" };

	mock_up();
	for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
		g_autofree char *line = g_strdup_printf("info %s", words[i]);
		g_autofree char *begin =
			g_strdup_printf("ublk-client info: “%s” went away at 2023-11-1", words[i]);
		auto_client_result result = client_run(line);

		g_assert_cmpint(result.status, ==, 3);
		g_assert_true(g_str_has_prefix(result.err, begin));
		g_assert_true(g_str_has_suffix(result.err, ": its server was\\x07 killed\n"));
	}
	{
		auto_client_result never = client_run("info never");

		g_assert_cmpint(never.status, ==, 3);
		g_assert_null(strstr(never.err, "went away"));
	}
	mock_down();
}

static void test_del(void)
{
	mock_up();
	mock_add_device(5, "more", getuid());
	mock_add_device(6, "most", getuid());
	{
		auto_client_result result = client_run("del -n 5 work /dev/ublkb0 -n 5");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(mock.calls->str, ==,
				"Delete /org/ublk1/devices/5\nDelete /org/ublk1/devices/0\n");
		g_assert_cmpuint(mock.meant, ==, 2);
	}
	mock_add_device(0, "work", getuid());
	g_string_truncate(mock.calls, 0);
	mock.error = UBLK_BUS_ERROR_BUSY;
	{
		auto_client_result result = client_run("del --all");

		/* The first one is busy: the other goes all the same, and the failure is told. */
		g_assert_cmpint(result.status, ==, 5);
		g_assert_cmpstr(result.err, ==, "ublk-client del: the reason\n");
		g_assert_cmpstr(mock.calls->str, ==,
				"Delete /org/ublk1/devices/0\nDelete /org/ublk1/devices/6\n");
	}
	mock.error = UBLK_BUS_ERROR_NOT_FOUND;
	{
		auto_client_result all = client_run("del --all");
		auto_client_result named = client_run("del work");

		/* Gone before its turn: no failure of "all", but of the one who named it. */
		g_assert_cmpint(all.status, ==, 0);
		g_assert_cmpstr(all.err, ==, "");
		g_assert_cmpint(named.status, ==, 3);
	}
	g_string_truncate(mock.calls, 0);
	{
		auto_client_result result = client_run("del work nobody");

		/* A wrong word: nothing is done at all. */
		g_assert_cmpint(result.status, ==, 3);
		g_assert_cmpstr(mock.calls->str, ==, "");
	}
	mock_down();
}

/* What has gone is told as it was, and nothing of what has not. */
static void test_del_json(void)
{
	mock_up();
	mock_add_device(5, "more", getuid());
	mock.error = UBLK_BUS_ERROR_BUSY;
	{
		auto_client_result result = client_run("del --json work more");

		g_assert_cmpint(result.status, ==, 5);
		g_assert_true(g_str_has_prefix(result.out, JSON_OF_DEVICES "\"id\": 5,\n"));
		g_assert_nonnull(strstr(result.out, "\"name\": \"more\""));
		g_assert_nonnull(strstr(result.out, "\"state\": \"live\""));
		g_assert_null(strstr(result.out, "work"));
		/* What it was is not asked: it is not there any more. */
		g_assert_null(strstr(result.out, "backing_file"));
		g_assert_cmpstr(result.err, ==, "ublk-client del: the reason\n");
	}
	mock.error = NULL;
	{
		auto_client_result stop = client_run("stop --json work");
		auto_client_result quiet = client_run("stop work");

		g_assert_cmpint(stop.status, ==, 0);
		g_assert_true(g_str_has_prefix(stop.out, JSON_OF_DEVICES "\"id\": 0,\n"));
		g_assert_cmpstr(quiet.out, ==, "");
	}
	mock_remove_device(0);
	{
		auto_client_result none = client_run("del --all --json");
		auto_client_result wrong = client_run("del --json nobody");

		g_assert_cmpint(none.status, ==, 0);
		g_assert_cmpstr(none.out, ==, "{\n  \"version\": 1,\n  \"devices\": []\n}\n");
		g_assert_cmpint(wrong.status, ==, 3);
		g_assert_cmpstr(wrong.out, ==, "");
	}
	mock_down();
}

static gint64 size_of(const char *path)
{
	struct stat st;

	g_assert_no_errno(stat(path, &st));
	return st.st_size;
}

/* A device is not made larger than its file by mistake; and the file only if it is the device's. */
static void test_resize(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	g_autofree char *file = NULL;
	int fd = g_file_open_tmp("ublk-verbs-XXXXXX", &file, NULL);

	g_assert_no_errno(ftruncate(fd, 67108864));
	mock_up();
	mock.backing = file;
	{
		auto_client_result smaller = client_run("resize work 32M");
		auto_client_result larger = client_run("resize work 128M");
		auto_client_result not_in_use = client_run("resize --grow-file work 128M");
		auto_client_result other = client_run("resize 3 128M");
		auto_client_result others_file = client_run("resize --grow-file 3 128M");

		g_assert_cmpint(smaller.status, ==, 0);
		g_assert_cmpint(larger.status, ==, 2);
		g_assert_nonnull(strstr(larger.err, "has 67108864 bytes"));
		g_assert_nonnull(strstr(larger.err, "--grow-file"));
		g_assert_cmpint(not_in_use.status, ==, 1);
		g_assert_nonnull(strstr(not_in_use.err, "is not the file of this device"));
		g_assert_cmpint(other.status, ==, 4);
		g_assert_cmpint(others_file.status, ==, 2);
		g_assert_nonnull(strstr(others_file.err, "somebody else's"));
		g_assert_cmpstr(mock.calls->str, ==, "Resize 33554432\n");
		g_assert_cmpuint(mock.meant, ==, 1);
		g_assert_cmpint(size_of(file), ==, 67108864);
	}
	/* As the device's server does. */
	g_assert_no_errno(fcntl(fd, F_OFD_SETLK, &lock));
	g_string_truncate(mock.calls, 0);
	mock.error = UBLK_BUS_ERROR_INVALID_ARGUMENT;
	{
		auto_client_result refused = client_run("resize --grow-file work 128M");

		g_assert_cmpint(refused.status, ==, 2);
		g_assert_cmpint(size_of(file), ==, 67108864);
	}
	mock.error = UBLK_BUS_ERROR_TIMED_OUT;
	{
		auto_client_result unknown = client_run("resize --grow-file work 256M");

		g_assert_cmpint(unknown.status, ==, 6);
		g_assert_cmpint(size_of(file), ==, 268435456);
	}
	mock.error = NULL;
	{
		auto_client_result grown = client_run("resize --grow-file work 512M");
		auto_client_result smaller = client_run("resize work 64M");
		auto_client_result large_enough = client_run("resize --grow-file work 128M");

		g_assert_cmpint(grown.status, ==, 0);
		g_assert_cmpint(smaller.status, ==, 0);
		g_assert_cmpint(large_enough.status, ==, 0);
		g_assert_cmpint(size_of(file), ==, 536870912);
		g_assert_cmpstr(mock.calls->str, ==,
				"Resize 134217728 backed\nResize 268435456 backed\n"
				"Resize 536870912 backed\nResize 67108864\n"
				"Resize 134217728 backed\n");
	}
	g_string_truncate(mock.calls, 0);
	mock.backing = "";
	{
		auto_client_result unknown = client_run("resize work 256M");
		auto_client_result grow = client_run("resize --grow-file work 256M");
		auto_client_result both = client_run("resize --grow-file --backed work 128M");
		auto_client_result backed = client_run("resize --backed work 256M");

		g_assert_cmpint(unknown.status, ==, 2);
		g_assert_nonnull(strstr(unknown.err, "knows no path"));
		g_assert_nonnull(strstr(unknown.err, "--backed"));
		g_assert_cmpint(grow.status, ==, 2);
		g_assert_cmpint(both.status, ==, 2);
		g_assert_cmpint(backed.status, ==, 0);
		g_assert_cmpstr(mock.calls->str, ==, "Resize 268435456 backed\n");
	}
	g_string_truncate(mock.calls, 0);
	mock.backing = "/no/such/file";
	{
		auto_client_result gone = client_run("resize --grow-file work 512M");

		g_assert_cmpint(gone.status, ==, 3);
		g_assert_cmpstr(mock.calls->str, ==, "");
	}
	mock_down();
	close(fd);
	unlink(file);
}

static void test_open(void)
{
	mock_up();
	{
		auto_client_result result =
			client_run("open work -- sh -c 'readlink {} "
				   "/proc/self/fd/$UBLK_FD; echo $1 $2' - a{}b -x");
		auto_client_result moved =
			client_run("open -r --fd 7 work -- sh -c 'readlink /proc/self/fd/7'");
		auto_client_result fails = client_run("open work -- sh -c 'exit 42'");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "/dev/zero\n/dev/zero\na/dev/fd/3b -x\n");
		g_assert_cmpstr(moved.out, ==, "/dev/zero\n");
		/* the command takes our place */
		g_assert_cmpint(fails.status, ==, 42);
		g_assert_cmpstr(mock.calls->str, ==,
				"OpenBlockDevice {" CREATED_AT "}\n"
				"OpenBlockDevice {'read-only': <true>, " CREATED_AT "}\n"
				"OpenBlockDevice {" CREATED_AT "}\n");
	}
	{
		auto_client_result none = client_run("open 17 -- true");
		auto_client_result no_command = client_run("open work --");
		auto_client_result no_program = client_run("open work -- /no/such/program");
		auto_client_result no_program_2 =
			client_run("open --fd 2 work -- /no/such/program");

		g_assert_cmpint(none.status, ==, 3);
		g_assert_cmpint(no_command.status, ==, 2);
		g_assert_cmpint(no_program.status, ==, 3);
		g_assert_cmpint(no_program_2.status, ==, 3);
		g_assert_nonnull(strstr(no_program_2.err, "/no/such/program"));
		g_assert_nonnull(strstr(no_program.err, "/no/such/program"));
	}
	mock.error = UBLK_BUS_ERROR_ACCESS_DENIED;
	{
		auto_client_result refused = client_run("open work -- echo no");

		g_assert_cmpint(refused.status, ==, 4);
		g_assert_cmpstr(refused.out, ==, "");
	}
	mock_down();
}

/* Scripts want a path, and nothing that they would have to cut off. */
static void test_quiet(void)
{
	mock_up();
	mock_add_device(5, "more", getuid());
	{
		auto_client_result list = client_run("list -aq");
		auto_client_result info = client_run("info -q more 0");

		g_assert_cmpstr(list.out, ==, "/dev/ublkb0\n/dev/ublkb3\n/dev/ublkb5\n");
		g_assert_cmpstr(info.out, ==, "/dev/ublkb5\n/dev/ublkb0\n");
		g_assert_cmpint(info.status, ==, 0);
	}
	mock_down();
}

/* Who waits for a limited time hears that it was not enough, and may be wrong to think it is
 * undone. */
static void test_timeout(void)
{
	mock_up();
	mock.silent = TRUE;
	g_atomic_int_set(&mock.mute, TRUE);
	{
		auto_client_result result = client_run("add -t null --size 1G --timeout 0.5");

		g_assert_cmpint(result.status, ==, 6);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_nonnull(strstr(result.err, "within 0.5 s (--timeout); it may still"));
	}
	{
		/* Who looks for what is wrong still hears of the rest. */
		auto_client_result doctor = client_run("doctor --timeout 2");

		g_assert_cmpint(doctor.status, ==, 6);
		g_assert_nonnull(strstr(doctor.out, "ublkd      it does not answer"));
		g_assert_null(strstr(doctor.out, "features"));
		g_assert_nonnull(strstr(doctor.out, "io_uring"));
		g_assert_null(strstr(doctor.out, "polkit"));
		g_assert_null(strstr(doctor.out, "leftovers"));
		g_assert_cmpstr(doctor.err, ==,
				"ublk-client doctor: not all has answered within 2 s "
				"(--timeout)\n");
	}
	for (int i = 0; i < 5; i++) {
		static const char *const wrong[] = { "0", "-1", "1x", "nan", "1e99" };
		g_autofree char *line = g_strdup_printf("list --timeout=%s", wrong[i]);
		auto_client_result result = client_run(line);

		g_assert_cmpint(result.status, ==, 2);
		g_assert_nonnull(strstr(result.err, wrong[i]));
	}
	mock_down();
}

/* What was given up is not asked for later: one device does not answer, the others stay. */
static void test_timeout_ends_all(void)
{
	mock_up();
	mock_add_device(5, "more", getuid());
	mock_add_device(6, "most", getuid());
	mock.silent = TRUE;
	{
		auto_client_result result = client_run("del --all --timeout 1");

		g_assert_cmpint(result.status, ==, 6);
		g_assert_nonnull(strstr(result.err, "within 1 s (--timeout); it may still"));
		g_assert_nonnull(strstr(result.err, "/dev/ublkb5 stays: the time of --timeout, "
						    "1 s, is over\n"));
		g_assert_nonnull(strstr(result.err, "/dev/ublkb6 stays: "));
		g_assert_cmpstr(mock.calls->str, ==, "Delete /org/ublk1/devices/0\n");
	}
	mock_down();
}

static GDBusMessage *swallow(GDBusConnection *connection, GDBusMessage *message, gboolean incoming,
			     gpointer data)
{
	g_object_unref(message);
	return NULL;
}

static gboolean on_silent_connection(GDBusServer *server, GDBusConnection *connection,
				     gpointer data)
{
	g_dbus_connection_add_filter(connection, swallow, NULL, NULL);
	g_ptr_array_add(data, g_object_ref(connection));
	return TRUE;
}

/* The same of a bus that says nothing: at all, or once it knows who is there. */
static void test_timeout_of_bus(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-bus-XXXXXX", NULL);
	g_autofree char *guid = g_dbus_generate_guid();
	g_autofree char *real = g_strdup(g_getenv("DBUS_SYSTEM_BUS_ADDRESS"));
	g_autofree char *path = g_build_filename(folder, "silent", NULL);
	g_autofree char *silent = g_strdup_printf("unix:path=%s", path);
	g_autofree char *polite = g_strdup_printf("unix:path=%s/polite", folder);
	const char *const addresses[] = { silent, polite };
	g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM,
						 G_SOCKET_PROTOCOL_DEFAULT, &error);
	g_autoptr(GPtrArray) connections = g_ptr_array_new_with_free_func(g_object_unref);
	g_autoptr(GDBusServer) server =
		g_dbus_server_new_sync(polite, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL, &error);

	g_assert_no_error(error);
	g_assert_true(g_socket_bind(socket, address, FALSE, NULL));
	g_assert_true(g_socket_listen(socket, NULL));
	g_signal_connect(server, "new-connection", G_CALLBACK(on_silent_connection), connections);
	g_dbus_server_start(server);
	for (gsize i = 0; i < G_N_ELEMENTS(addresses); i++) {
		g_setenv("DBUS_SYSTEM_BUS_ADDRESS", addresses[i], TRUE);
		{
			auto_client_result result = client_run("list --timeout 0.5");
			auto_client_result cdi = client_run("cdi --timeout 0.5 /nowhere");
			auto_client_result doctor = client_run("doctor --timeout 0.5");

			g_assert_cmpint(result.status, ==, 6);
			g_assert_nonnull(strstr(result.err, "within 0.5 s (--timeout)"));
			g_assert_cmpint(cdi.status, ==, 6);
			g_assert_nonnull(strstr(cdi.err, "within 0.5 s (--timeout)"));
			g_assert_cmpint(doctor.status, ==, 6);
			g_assert_nonnull(strstr(doctor.out, "within 0.5 s (--timeout)"));
		}
	}
	g_assert_cmpuint(connections->len, ==, 3);
	g_setenv("DBUS_SYSTEM_BUS_ADDRESS", real, TRUE);
	g_dbus_server_stop(server);
	g_unlink(path);
	g_rmdir(folder);
}

/* ublkd that goes meanwhile is not there, and is not called back. */
static void test_metrics_leaving(void)
{
	mock_up();
	mock.leaves = TRUE;
	{
		auto_client_result result = client_run("metrics");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_true(g_str_has_suffix(result.out, "ublkd_up 0\n"));
	}
	mock_take_name();
	mock_down();
}

/* A file is replaced, and nothing else is. */
static void test_metrics_output(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-metrics-XXXXXX", NULL);
	g_autofree char *fifo = g_build_filename(folder, "fifo", NULL);
	g_autofree char *link = g_build_filename(folder, "link", NULL);
	g_autofree char *file = g_build_filename(folder, "file", NULL);
	g_autofree char *old = g_strdup_printf("metrics -o %s", file);
	const char *const refused[] = { fifo, link };
	g_autofree char *text = NULL;
	struct stat status;

	g_assert_no_errno(mkfifo(fifo, 0600));
	g_assert_no_errno(symlink(file, link));
	for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autofree char *line = g_strdup_printf("metrics -o %s", refused[i]);
		auto_client_result result = client_run(line);

		g_assert_cmpint(result.status, ==, 2);
		g_assert_nonnull(strstr(result.err, "no regular file"));
		g_assert_no_errno(lstat(refused[i], &status));
		g_assert_false(S_ISREG(status.st_mode));
	}
	for (int i = 0; i < 2; i++) {
		auto_client_result result = client_run(old);

		g_assert_cmpint(result.status, ==, 0);
	}
	g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
	g_assert_true(g_str_has_suffix(text, "ublkd_up 0\n"));
	g_unlink(fifo);
	g_unlink(link);
	g_unlink(file);
	g_rmdir(folder);
}

/* The server is a process that is held on to, not a number. */
static void test_start(void)
{
	g_autofree char *line = g_strdup_printf("start work --server %d --size 1M --read-only "
						"--max-segments 7",
						getpid());

	mock_up();
	{
		auto_client_result result = client_run(line);
		auto_client_result no_size = client_run("start work --server 1");
		auto_client_result no_server = client_run("start work --size 1M");
		auto_client_result nobody = client_run("start work --size 1M --server 2147483647");
		auto_client_result wrong = client_run("start work --size 1M --server 0x1");
		auto_client_result all = client_run("start work --size 1M --server -1");
		g_autofree char *info = g_strdup_printf("/proc/self/fdinfo/%d", mock.server_pidfd);
		g_autofree char *wanted = g_strdup_printf("\nPid:\t%d\n", getpid());
		g_autofree char *text = NULL;

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "/dev/ublkb0\n");
		g_assert_cmpstr(mock.calls->str, ==,
				"Start {'size': <uint64 1048576>, 'read-only': <true>, "
				"'max-segments': <uint32 7>, 'server': <handle 0>, "
				"'created-at': <uint64 1700000000000000>}\n");
		g_assert_cmpuint(mock.meant, ==, 1);
		g_assert_true(g_file_get_contents(info, &text, NULL, NULL));
		g_assert_nonnull(strstr(text, wanted));
		g_assert_cmpint(no_size.status, ==, 2);
		g_assert_cmpint(no_server.status, ==, 2);
		g_assert_cmpint(nobody.status, ==, 3);
		g_assert_cmpint(wrong.status, ==, 2);
		g_assert_cmpint(all.status, ==, 2);
	}
	mock_down();
}

/* Each is the other one with the option, and what is not live cannot be stopped. */
static void test_stop(void)
{
	mock_up();
	mock_add_device(5, "more", getuid());
	{
		auto_client_result stop = client_run("stop work");
		auto_client_result no_wait = client_run("del --no-wait work");
		auto_client_result wait = client_run("stop --wait work");

		g_assert_cmpint(stop.status | no_wait.status | wait.status, ==, 0);
	}
	mock_set_state(5, "created");
	{
		auto_client_result no_wait = client_run("del --no-wait more");

		g_assert_cmpint(no_wait.status, ==, 0);
	}
	g_assert_cmpstr(mock.calls->str, ==,
			"Stop\nStop\nDelete /org/ublk1/devices/0\nDelete /org/ublk1/devices/5\n");
	g_assert_cmpuint(mock.meant, ==, 4);
	mock_down();
}

static void test_limits(void)
{
	mock_up();
	{
		auto_client_result text = client_run("limits");
		auto_client_result json = client_run("limits --json 1234");
		auto_client_result nobody = client_run("limits no.such.user");

		g_assert_cmpint(text.status, ==, 0);
		/* What a later ublkd has, as far as it is a number. */
		g_assert_cmpstr(text.out, ==,
				"LIMIT                   AT MOST    USED\n"
				"devices-per-user              1       1\n"
				"queue-memory-per-user  67108864  131072\n"
				"new                           7       -\n");
		g_assert_true(
			g_str_has_prefix(json.out, "{\n  \"version\": 1,\n  \"limits\": [\n"));
		g_assert_nonnull(strstr(json.out, "\"name\": \"devices-per-user\",\n      "
						  "\"limit\": 1,\n      \"used\": 1\n"));
		g_assert_nonnull(strstr(json.out, "\"used\": null\n"));
		g_assert_cmpint(nobody.status, ==, 3);
		g_assert_cmpstr(mock.calls->str, ==,
				"GetLimits {}\nGetLimits {'owner': <uint32 1234>}\n");
	}
	mock_down();
}

static void test_features(void)
{
	mock_up();
	{
		auto_client_result features = client_run("features");
		auto_client_result json = client_run("features --json");

		g_assert_cmpstr(features.out, ==,
				"FEATURE                HERE   LINUX  ORDINARY  WHAT IT IS\n"
				"unprivileged-dev       yes    6.3    yes       its own\n"
				"zoned                  no     6.6    no        zones\n");
		g_assert_nonnull(strstr(json.out, "\"version\": 1,"));
		g_assert_nonnull(strstr(json.out, "\"name\": \"zoned\""));
		g_assert_nonnull(strstr(json.out, "\"unprivileged\": \"refused\""));
	}
	mock_down();
}

static void add_tests(void)
{
	g_test_add_func("/client/verbs/absent", test_absent);
	g_test_add_func("/client/verbs/add", test_add);
	g_test_add_func("/client/verbs/create", test_create);
	g_test_add_func("/client/verbs/create-exchanged", test_create_exchanged);
	g_test_add_func("/client/verbs/show", test_show);
	g_test_add_func("/client/verbs/errors", test_errors);
	g_test_add_func("/client/verbs/list", test_list);
	g_test_add_func("/client/verbs/info", test_info);
	g_test_add_func("/client/verbs/info-of-lost", test_info_of_lost);
	g_test_add_func("/client/verbs/del", test_del);
	g_test_add_func("/client/verbs/del-json", test_del_json);
	g_test_add_func("/client/verbs/resize", test_resize);
	g_test_add_func("/client/verbs/open", test_open);
	g_test_add_func("/client/verbs/features", test_features);
	g_test_add_func("/client/verbs/quiet", test_quiet);
	g_test_add_func("/client/verbs/timeout", test_timeout);
	g_test_add_func("/client/verbs/timeout-ends-all", test_timeout_ends_all);
	g_test_add_func("/client/verbs/timeout-of-bus", test_timeout_of_bus);
	g_test_add_func("/client/verbs/metrics-leaving", test_metrics_leaving);
	g_test_add_func("/client/verbs/metrics-output", test_metrics_output);
	g_test_add_func("/client/verbs/start", test_start);
	g_test_add_func("/client/verbs/stop", test_stop);
	g_test_add_func("/client/verbs/limits", test_limits);
}

int main(int argc, char **argv)
{
	return mock_main(argc, argv, add_tests);
}
