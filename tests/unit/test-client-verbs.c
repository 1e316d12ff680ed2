/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The real ublk-client against a bus of its own, with this process in ublkd's place. It is for what
 * the real ublkd cannot be made to do on demand (fail in a given way, be absent), and for `serve`,
 * whose server is a script here; with ublkd and the kernel the client is tested in the VM.
 *
 * The skeletons are generated from the interface's XML, so a call with another signature fails
 * here.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublk-bus.h"
#include "ublk-dbus.h"

static struct {
	GTestDBus *bus;
	GDBusConnection *connection;
	GDBusObjectManagerServer *objects;
	guint name;
	/* What was called: "Method options", one line each. */
	GString *calls;
	/* When set, what the next call is answered with. */
	const char *error;
	/* Answers to GetManagedObjects, counted by GDBus's thread. */
	int lists;
	/* AddDevice is not answered. */
	gboolean silent;
	/* How many calls said which device they meant, and not just its number. */
	guint meant;
	/* What GetBackingFile tells of one's own. */
	const char *backing;
	/* Of the server that Start was told about. */
	int server_pidfd;
	pid_t report_pid;
	char *report;
} mock;

static void add_device(guint32 id, const char *name, guint32 uid);

static void note(const char *method, GVariant *options)
{
	g_autofree char *text = g_variant_print(options, FALSE);

	g_string_append_printf(mock.calls, "%s %s\n", method, text);
}

/* Answer with the error that the test wants; TRUE: answered. */
static gboolean refuse(GDBusMethodInvocation *invocation)
{
	if (!mock.error)
		return FALSE;
	g_dbus_method_invocation_return_dbus_error(invocation, mock.error, "the reason.");
	return TRUE;
}

static gboolean handle_add(UblkBusManager *manager, GDBusMethodInvocation *invocation,
			   GUnixFDList *fds, const char *target, GVariant *options)
{
	GDBusMessageFlags flags =
		g_dbus_message_get_flags(g_dbus_method_invocation_get_message(invocation));

	note(target, options);
	g_string_append(mock.calls, flags & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION
					    ? "may ask\n"
					    : "may not ask\n");
	if (mock.silent)
		g_object_unref(invocation);
	else if (!refuse(invocation))
		ublk_bus_manager_complete_add_device(manager, invocation, NULL,
						     "/org/ublk1/devices/4");
	return TRUE;
}

static gboolean handle_create(UblkBusManager *manager, GDBusMethodInvocation *invocation,
			      GUnixFDList *fds, GVariant *options)
{
	g_autoptr(GUnixFDList) reply = g_unix_fd_list_new();
	int fd = open("/dev/null", O_PATH | O_CLOEXEC);

	note("CreateDevice", options);
	if (!refuse(invocation)) {
		g_unix_fd_list_append(reply, fd, NULL);
		add_device(9, "served", getuid());
		ublk_bus_manager_complete_create_device(manager, invocation, reply,
							"/org/ublk1/devices/9",
							g_variant_new_handle(0));
	}
	close(fd);
	return TRUE;
}

/* By its pidfd, never by a number: a pid of -1 would be every process of the machine. */
static void signal_server(int signal)
{
	g_assert_cmpint(mock.server_pidfd, >=, 0);
	if (pidfd_send_signal(mock.server_pidfd, signal, NULL, 0) < 0)
		g_assert_cmpint(errno, ==, ESRCH);
}

/* One message of the report, and who the kernel says has sent it. */
static void receive_report(int fd)
{
	char text[4096];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control = { 0 };
	struct iovec data = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct ucred sender;
	gssize length = recvmsg(fd, &message, 0);

	if (length < 0)
		g_error("recvmsg: %m");
	text[length] = '\0';
	g_free(mock.report);
	mock.report = g_strdup(text);
	mock.report_pid = -1;
	if (CMSG_FIRSTHDR(&message) && length > 0) {
		g_assert_cmpint(control.header.cmsg_type, ==, SCM_CREDENTIALS);
		memcpy(&sender, CMSG_DATA(&control.header), sizeof(sender));
		mock.report_pid = sender.pid;
	}
}

static void count_meant(UblkBusDevice *device, GVariant *options)
{
	guint64 created_at = 0;

	if (g_variant_lookup(options, UBLK_OPT_CREATED_AT, "t", &created_at))
		mock.meant += created_at == ublk_bus_device_get_created_at(device);
}

static gboolean handle_start(UblkBusDevice *device, GDBusMethodInvocation *invocation,
			     GUnixFDList *fds, GVariant *options)
{
	gint32 report, server;
	int report_fd;

	/* Of a server that does not report: the parameters are the options. */
	if (!g_variant_lookup(options, "report", "h", &report)) {
		count_meant(device, options);
		note("Start", options);
		g_assert_true(g_variant_lookup(options, "server", "h", &server));
		mock.server_pidfd = g_unix_fd_list_get(fds, server, NULL);
		if (!refuse(invocation))
			ublk_bus_device_complete_start(device, invocation, NULL);
		return TRUE;
	}
	g_string_append(mock.calls, "Start\n");
	g_assert_cmpuint(g_variant_n_children(options), ==, 2);
	g_assert_true(g_variant_lookup(options, "report", "h", &report));
	g_assert_true(g_variant_lookup(options, "server", "h", &server));
	report_fd = g_unix_fd_list_get(fds, report, NULL);
	mock.server_pidfd = g_unix_fd_list_get(fds, server, NULL);
	receive_report(report_fd);
	close(report_fd);
	if (!refuse(invocation)) {
		ublk_bus_device_set_state(device, "live");
		ublk_bus_device_complete_start(device, invocation, NULL);
	}
	return TRUE;
}

static gboolean handle_stop(UblkBusDevice *device, GDBusMethodInvocation *invocation,
			    GVariant *options)
{
	count_meant(device, options);
	g_string_append(mock.calls, "Stop\n");
	if (!refuse(invocation))
		ublk_bus_device_complete_stop(device, invocation);
	return TRUE;
}

static gboolean handle_delete(UblkBusDevice *device, GDBusMethodInvocation *invocation,
			      GVariant *options)
{
	const char *path =
		g_dbus_interface_skeleton_get_object_path(G_DBUS_INTERFACE_SKELETON(device));
	g_autofree char *copy = g_strdup(path);

	count_meant(device, options);
	g_string_append_printf(mock.calls, "Delete %s\n", path);
	if (mock.error && g_str_has_suffix(path, "/0")) {
		refuse(invocation);
		return TRUE;
	}
	/* The kernel ends the server of a device that it takes away. */
	if (mock.server_pidfd >= 0 && g_str_has_suffix(path, "/9"))
		signal_server(SIGTERM);
	ublk_bus_device_complete_delete(device, invocation);
	g_dbus_object_manager_server_unexport(mock.objects, copy);
	return TRUE;
}

static gboolean handle_resize(UblkBusDevice *device, GDBusMethodInvocation *invocation,
			      guint64 size, GVariant *options)
{
	gboolean backed = FALSE;

	count_meant(device, options);
	g_variant_lookup(options, UBLK_OPT_BACKED, "b", &backed);
	g_string_append_printf(mock.calls, "Resize %" G_GUINT64_FORMAT "%s\n", size,
			       backed ? " backed" : "");
	if (!refuse(invocation))
		ublk_bus_device_complete_resize(device, invocation);
	return TRUE;
}

static gboolean handle_get_backing_file(UblkBusDevice *device, GDBusMethodInvocation *invocation,
					GVariant *options)
{
	if (ublk_bus_device_get_owner_uid(device) != getuid())
		g_dbus_method_invocation_return_dbus_error(invocation, UBLK_BUS_ERROR_ACCESS_DENIED,
							   "not yours");
	else
		ublk_bus_device_complete_get_backing_file(device, invocation, mock.backing);
	return TRUE;
}

static gboolean handle_open(UblkBusDevice *device, GDBusMethodInvocation *invocation,
			    GUnixFDList *fds, GVariant *options)
{
	g_autoptr(GUnixFDList) reply = g_unix_fd_list_new();
	gboolean read_only = FALSE;
	int fd;

	note("OpenBlockDevice", options);
	if (refuse(invocation))
		return TRUE;
	g_variant_lookup(options, UBLK_OPT_READ_ONLY, "b", &read_only);
	fd = open("/dev/zero", (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	g_unix_fd_list_append(reply, fd, NULL);
	close(fd);
	ublk_bus_device_complete_open_block_device(device, invocation, reply,
						   g_variant_new_handle(0));
	return TRUE;
}

static void add_device(guint32 id, const char *name, guint32 uid)
{
	g_autofree char *path = g_strdup_printf(UBLK_BUS_DEVICES "/%u", id);
	g_autofree char *block = g_strdup_printf("/dev/ublkb%u", id);
	g_autofree char *character = g_strdup_printf("/dev/ublkc%u", id);
	g_autoptr(UblkBusDevice) device = ublk_bus_device_skeleton_new();
	g_autoptr(UblkBusObjectSkeleton) object = ublk_bus_object_skeleton_new(path);
	static const char *const cpus[] = { "0-1", "2,3", NULL };
	static const char *const flags[] = { "cmd-ioctl-encode", "update-size", NULL };

	ublk_bus_device_set_id(device, id);
	ublk_bus_device_set_name(device, name);
	ublk_bus_device_set_owner_uid(device, uid);
	ublk_bus_device_set_state(device, "live");
	ublk_bus_device_set_ending(device, "");
	ublk_bus_device_set_target(device, "loop");
	ublk_bus_device_set_size(device, 67108864);
	ublk_bus_device_set_queues(device, 2);
	ublk_bus_device_set_queue_depth(device, 64);
	ublk_bus_device_set_max_io_size(device, 524288);
	ublk_bus_device_set_flags(device, 0x22);
	ublk_bus_device_set_created_at(device, 1700000000000000 + id);
	ublk_bus_device_set_shared_memory(device, id == 0 ? 65536 : 0);
	ublk_bus_device_set_queue_cpus(device, cpus);
	ublk_bus_device_set_flag_names(device, flags);
	ublk_bus_device_set_block_device(device, block);
	ublk_bus_device_set_char_device(device, character);
	g_signal_connect(device, "handle-start", G_CALLBACK(handle_start), NULL);
	g_signal_connect(device, "handle-stop", G_CALLBACK(handle_stop), NULL);
	g_signal_connect(device, "handle-delete", G_CALLBACK(handle_delete), NULL);
	g_signal_connect(device, "handle-open-block-device", G_CALLBACK(handle_open), NULL);
	g_signal_connect(device, "handle-resize", G_CALLBACK(handle_resize), NULL);
	g_signal_connect(device, "handle-get-backing-file", G_CALLBACK(handle_get_backing_file),
			 NULL);
	ublk_bus_object_skeleton_set_device(object, device);
	g_dbus_object_manager_server_export(mock.objects, G_DBUS_OBJECT_SKELETON(object));
}

static gboolean handle_get_limits(UblkBusManager *manager, GDBusMethodInvocation *invocation,
				  GVariant *options)
{
	note("GetLimits", options);
	ublk_bus_manager_complete_get_limits(
		manager, invocation,
		g_variant_new_parsed("{'devices-per-user': <@u 1>, 'queue-memory-per-user': "
				     "<@t 67108864>, 'new': <@u 7>, 'odd': <'text'>}"),
		g_variant_new_parsed("{'devices-per-user': <@u 1>, 'queue-memory-per-user': "
				     "<@t 131072>}"));
	return TRUE;
}

static void add_manager(void)
{
	static const char *const features[] = { "cmd-ioctl-encode", "unprivileged-dev", NULL };
	g_autoptr(UblkBusManager) manager = ublk_bus_manager_skeleton_new();
	g_autoptr(UblkBusObjectSkeleton)
		object = ublk_bus_object_skeleton_new(UBLK_BUS_MANAGER_PATH);

	ublk_bus_manager_set_kernel_features(manager, features);
	ublk_bus_manager_set_feature_table(
		manager, g_variant_new_parsed("[('unprivileged-dev', '6.3', 'allowed', 'its own'), "
					      "('zoned', '6.6', 'refused', 'zones')]"));
	g_signal_connect(manager, "handle-get-limits", G_CALLBACK(handle_get_limits), NULL);
	g_signal_connect(manager, "handle-add-device", G_CALLBACK(handle_add), NULL);
	g_signal_connect(manager, "handle-create-device", G_CALLBACK(handle_create), NULL);
	ublk_bus_object_skeleton_set_manager(object, manager);
	g_dbus_object_manager_server_export(mock.objects, G_DBUS_OBJECT_SKELETON(object));
}

static void set_name(GDBusConnection *connection, const char *name, gpointer data)
{
	*(gboolean *)data = TRUE;
}

static GDBusMessage *count_lists(GDBusConnection *connection, GDBusMessage *message,
				 gboolean incoming, gpointer data)
{
	if (!incoming && g_strcmp0(g_dbus_message_get_signature(message), "a{oa{sa{sv}}}") == 0)
		g_atomic_int_inc(&mock.lists);
	return message;
}

static void take_name(void)
{
	gboolean owned = FALSE;

	mock.name = g_bus_own_name_on_connection(mock.connection, UBLK_BUS_NAME, 0, set_name, NULL,
						 &owned, NULL);
	while (!owned)
		g_main_context_iteration(NULL, TRUE);
}

static void mock_up(void)
{
	mock.calls = g_string_new(NULL);
	mock.error = NULL;
	mock.meant = 0;
	mock.silent = FALSE;
	mock.lists = 0;
	mock.backing = "/home/me/disk.img";
	mock.server_pidfd = -1;
	mock.objects = g_dbus_object_manager_server_new(UBLK_BUS_ROOT);
	add_manager();
	add_device(0, "work", getuid());
	add_device(3, "hers", getuid() + 1);
	g_dbus_object_manager_server_set_connection(mock.objects, mock.connection);
	take_name();
}

static void mock_down(void)
{
	g_bus_unown_name(mock.name);
	g_clear_object(&mock.objects);
	g_string_free(mock.calls, TRUE);
	g_clear_pointer(&mock.report, g_free);
	if (mock.server_pidfd >= 0)
		close(mock.server_pidfd);
}

struct result {
	char *out, *err;
	int status;
};

static void free_result(struct result *result)
{
	g_free(result->out);
	g_free(result->err);
}
#define auto_result __attribute__((cleanup(free_result))) struct result

static void on_communicated(GObject *source, GAsyncResult *done, gpointer data)
{
	struct result *result = data;
	g_autoptr(GError) error = NULL;

	g_subprocess_communicate_utf8_finish(G_SUBPROCESS(source), done, &result->out, &result->err,
					     &error);
	g_assert_no_error(error);
	result->status = g_subprocess_get_if_exited(G_SUBPROCESS(source))
				 ? g_subprocess_get_exit_status(G_SUBPROCESS(source))
				 : -g_subprocess_get_term_sig(G_SUBPROCESS(source));
}

static GSubprocess *start_client(const char *line)
{
	g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
		G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_auto(GStrv) words = NULL;
	GSubprocess *client;

	g_assert_true(g_shell_parse_argv(line, NULL, &words, NULL));
	g_ptr_array_add(argv, g_strdup(g_getenv("UBLK_CLIENT")));
	for (char **word = words; *word; word++)
		g_ptr_array_add(argv, g_strdup(*word));
	g_ptr_array_add(argv, NULL);
	client = g_subprocess_launcher_spawnv(launcher, (const char *const *)argv->pdata, &error);
	g_assert_no_error(error);
	return client;
}

/* A line of what it prints, and no byte of the next; ublkd answers meanwhile. NULL: it has ended.
 */
static char *read_any_line(GSubprocess *client)
{
	struct pollfd readable = {
		.fd = g_unix_input_stream_get_fd(
			G_UNIX_INPUT_STREAM(g_subprocess_get_stdout_pipe(client))),
		.events = POLLIN,
	};
	g_autoptr(GString) line = g_string_new(NULL);
	char c;

	for (;;) {
		while (poll(&readable, 1, 0) == 0)
			g_main_context_iteration(NULL, FALSE);
		if (read(readable.fd, &c, 1) != 1)
			return NULL;
		if (c == '\n')
			return g_string_free(g_steal_pointer(&line), FALSE);
		g_string_append_c(line, c);
	}
}

static void read_line(GSubprocess *client, const char *expected)
{
	g_autofree char *line = read_any_line(client);

	g_assert_cmpstr(line, ==, expected);
}

static struct result end_client(GSubprocess *client)
{
	struct result result = { NULL, NULL, -1000 };

	g_subprocess_communicate_utf8_async(client, NULL, NULL, on_communicated, &result);
	while (result.status == -1000)
		g_main_context_iteration(NULL, TRUE);
	g_test_message("status %d\n%s%s", result.status, result.out, result.err);
	return result;
}

static struct result run_client(const char *line)
{
	g_autoptr(GSubprocess) client = start_client(line);

	g_test_message("ublk-client %s", line);
	return end_client(client);
}

static void test_add(void)
{
	mock_up();
	{
		auto_result result = run_client("add -t null --size 1G -q 2");

		/* Nothing but the path: scripts take it as it is. */
		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "/dev/ublkb4\n");
		g_assert_cmpstr(result.err, ==, "");
		g_assert_cmpstr(
			mock.calls->str, ==,
			"null {'queues': <uint32 2>, 'size': <uint64 1073741824>}\nmay ask\n");
	}
	{
		auto_result result = run_client("add -t null --size 1G --no-ask-password");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_nonnull(strstr(mock.calls->str, "may not ask\n"));
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
		auto_result refused = run_client(line);

		g_assert_cmpint(refused.status, ==, 5);
		g_assert_nonnull(strstr(mock.calls->str, path));
		g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	}
	mock.error = NULL;
	{
		auto_result made = run_client(line);

		g_assert_cmpint(made.status, ==, 0);
		g_assert_cmpint(g_stat(path, &st), ==, 0);
		g_assert_cmpint(st.st_size, ==, 1 << 20);
	}
	/* The bar is for terminals: nothing but the path here. */
	g_assert_cmpint(g_unlink(path), ==, 0);
	{
		g_autofree char *reserving = g_strconcat(line, " --preallocate", NULL);
		auto_result made = run_client(reserving);
		auto_result again = run_client(reserving);

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
		auto_result result = { 0 };

		mock.error = errors[i].error;
		result = run_client("add -t null --size 1G");
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
	auto_result result = run_client("list");

	g_assert_cmpint(result.status, ==, 1);
	g_assert_cmpstr(result.out, ==, "");
	g_assert_nonnull(strstr(result.err, "systemctl start ublkd"));
}

static void test_list(void)
{
	mock_up();
	{
		auto_result own = run_client("list");
		auto_result all = run_client("list -a --json");

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
		auto_result own = run_client("info work");
		auto_result other = run_client("info 3 --json");
		auto_result none = run_client("info 17");

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
		auto_result other = run_client("info 3");

		g_assert_null(strstr(other.out, "Shared memory"));
	}
	mock_down();
}

static void test_del(void)
{
	mock_up();
	add_device(5, "more", getuid());
	add_device(6, "most", getuid());
	{
		auto_result result = run_client("del -n 5 work /dev/ublkb0 -n 5");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(mock.calls->str, ==,
				"Delete /org/ublk1/devices/5\nDelete /org/ublk1/devices/0\n");
		g_assert_cmpuint(mock.meant, ==, 2);
	}
	add_device(0, "work", getuid());
	g_string_truncate(mock.calls, 0);
	mock.error = UBLK_BUS_ERROR_BUSY;
	{
		auto_result result = run_client("del --all");

		/* The first one is busy: the other goes all the same, and the failure is told. */
		g_assert_cmpint(result.status, ==, 5);
		g_assert_cmpstr(result.err, ==, "ublk-client del: the reason\n");
		g_assert_cmpstr(mock.calls->str, ==,
				"Delete /org/ublk1/devices/0\nDelete /org/ublk1/devices/6\n");
	}
	mock.error = UBLK_BUS_ERROR_NOT_FOUND;
	{
		auto_result all = run_client("del --all");
		auto_result named = run_client("del work");

		/* Gone before its turn: no failure of "all", but of the one who named it. */
		g_assert_cmpint(all.status, ==, 0);
		g_assert_cmpstr(all.err, ==, "");
		g_assert_cmpint(named.status, ==, 3);
	}
	g_string_truncate(mock.calls, 0);
	{
		auto_result result = run_client("del work nobody");

		/* A wrong word: nothing is done at all. */
		g_assert_cmpint(result.status, ==, 3);
		g_assert_cmpstr(mock.calls->str, ==, "");
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
		auto_result smaller = run_client("resize work 32M");
		auto_result larger = run_client("resize work 128M");
		auto_result not_in_use = run_client("resize --grow-file work 128M");
		auto_result other = run_client("resize 3 128M");
		auto_result others_file = run_client("resize --grow-file 3 128M");

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
		auto_result refused = run_client("resize --grow-file work 128M");

		g_assert_cmpint(refused.status, ==, 2);
		g_assert_cmpint(size_of(file), ==, 67108864);
	}
	mock.error = UBLK_BUS_ERROR_TIMED_OUT;
	{
		auto_result unknown = run_client("resize --grow-file work 256M");

		g_assert_cmpint(unknown.status, ==, 6);
		g_assert_cmpint(size_of(file), ==, 268435456);
	}
	mock.error = NULL;
	{
		auto_result grown = run_client("resize --grow-file work 512M");
		auto_result large_enough = run_client("resize --grow-file work 128M");

		g_assert_cmpint(grown.status, ==, 0);
		g_assert_cmpint(large_enough.status, ==, 0);
		g_assert_cmpint(size_of(file), ==, 536870912);
		g_assert_cmpstr(mock.calls->str, ==,
				"Resize 134217728 backed\nResize 268435456 backed\n"
				"Resize 536870912 backed\nResize 134217728 backed\n");
	}
	g_string_truncate(mock.calls, 0);
	mock.backing = "";
	{
		auto_result unknown = run_client("resize work 128M");
		auto_result grow = run_client("resize --grow-file work 128M");
		auto_result both = run_client("resize --grow-file --backed work 128M");
		auto_result backed = run_client("resize --backed work 128M");

		g_assert_cmpint(unknown.status, ==, 2);
		g_assert_nonnull(strstr(unknown.err, "knows no path"));
		g_assert_nonnull(strstr(unknown.err, "--backed"));
		g_assert_cmpint(grow.status, ==, 2);
		g_assert_cmpint(both.status, ==, 2);
		g_assert_cmpint(backed.status, ==, 0);
		g_assert_cmpstr(mock.calls->str, ==, "Resize 134217728 backed\n");
	}
	g_string_truncate(mock.calls, 0);
	mock.backing = "/no/such/file";
	{
		auto_result gone = run_client("resize --grow-file work 128M");

		g_assert_cmpint(gone.status, ==, 3);
		g_assert_cmpstr(mock.calls->str, ==, "");
	}
	mock_down();
	close(fd);
	unlink(file);
}

/* The device that was found, not the next that has its number. */
#define CREATED_AT "'created-at': <uint64 1700000000000000>"

static void test_open(void)
{
	mock_up();
	{
		auto_result result = run_client("open work -- sh -c 'readlink {} "
						"/proc/self/fd/$UBLK_FD; echo $1 $2' - a{}b -x");
		auto_result moved =
			run_client("open -r --fd 7 work -- sh -c 'readlink /proc/self/fd/7'");
		auto_result fails = run_client("open work -- sh -c 'exit 42'");

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "/dev/zero\n/dev/zero\na/dev/fd/3b -x\n");
		g_assert_cmpstr(moved.out, ==, "/dev/zero\n");
		/* the command takes our place */
		g_assert_cmpint(fails.status, ==, 42);
		g_assert_cmpstr(mock.calls->str, ==,
				"OpenBlockDevice {" CREATED_AT "}\n"
				"OpenBlockDevice {" CREATED_AT ", 'read-only': <true>}\n"
				"OpenBlockDevice {" CREATED_AT "}\n");
	}
	{
		auto_result none = run_client("open 17 -- true");
		auto_result no_command = run_client("open work --");
		auto_result no_program = run_client("open work -- /no/such/program");
		auto_result no_program_2 = run_client("open --fd 2 work -- /no/such/program");

		g_assert_cmpint(none.status, ==, 3);
		g_assert_cmpint(no_command.status, ==, 2);
		g_assert_cmpint(no_program.status, ==, 3);
		g_assert_cmpint(no_program_2.status, ==, 3);
		g_assert_nonnull(strstr(no_program_2.err, "/no/such/program"));
		g_assert_nonnull(strstr(no_program.err, "/no/such/program"));
	}
	mock.error = UBLK_BUS_ERROR_ACCESS_DENIED;
	{
		auto_result refused = run_client("open work -- echo no");

		g_assert_cmpint(refused.status, ==, 4);
		g_assert_cmpstr(refused.out, ==, "");
	}
	mock_down();
}

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
	g_autofree char *watch = g_strdup_printf("cdi --watch --all %s", folder);
	g_autofree char *name = g_strdup_printf("\"name\": \"%u-work\"", getuid());

	mock_up();
	add_device(5, "bad-", getuid());
	{
		auto_result result = run_client(line);
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
		g_autoptr(GSubprocess) client = start_client(watch);
		auto_result ended = { 0 };

		read_line(client, path);
		wait_for_file(path, name, TRUE);
		add_device(6, "later", getuid());
		wait_for_file(path, "-later\"", TRUE);
		g_dbus_object_manager_server_unexport(mock.objects, UBLK_BUS_DEVICES "/6");
		wait_for_file(path, "-later\"", FALSE);
		/* Nothing left: no file, since CDI has no empty one. */
		g_dbus_object_manager_server_unexport(mock.objects, UBLK_BUS_DEVICES "/0");
		g_dbus_object_manager_server_unexport(mock.objects, UBLK_BUS_DEVICES "/3");
		wait_for_file(path, "{", FALSE);
		add_device(0, "work", getuid());
		wait_for_file(path, name, TRUE);
		g_subprocess_send_signal(client, SIGTERM);
		ended = end_client(client);
		g_assert_cmpint(ended.status, ==, 0);
		g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	}
	mock_down();
	g_assert_cmpint(g_rmdir(folder), ==, 0);
}

static UblkBusDevice *get_device(guint32 id)
{
	g_autofree char *path = g_strdup_printf(UBLK_BUS_DEVICES "/%u", id);
	g_autoptr(GDBusObject) object =
		g_dbus_object_manager_get_object(G_DBUS_OBJECT_MANAGER(mock.objects), path);

	return ublk_bus_object_get_device(UBLK_BUS_OBJECT(object));
}

static void set_state(guint32 id, const char *state)
{
	g_autoptr(UblkBusDevice) device = get_device(id);

	ublk_bus_device_set_state(device, state);
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(device));
}

static void set_ending(guint32 id, const char *ending)
{
	g_autoptr(UblkBusDevice) device = get_device(id);

	ublk_bus_device_set_ending(device, ending);
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(device));
}

static void remove_device(guint32 id)
{
	g_autofree char *path = g_strdup_printf(UBLK_BUS_DEVICES "/%u", id);

	g_dbus_object_manager_server_unexport(mock.objects, path);
}

/* Scripts want a path, and nothing that they would have to cut off. */
static void test_quiet(void)
{
	mock_up();
	add_device(5, "more", getuid());
	{
		auto_result list = run_client("list -aq");
		auto_result info = run_client("info -q more 0");

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
	{
		auto_result result = run_client("add -t null --size 1G --timeout 0.2");

		g_assert_cmpint(result.status, ==, 6);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_nonnull(strstr(result.err, "within 0.2 s (--timeout); it may still"));
	}
	for (int i = 0; i < 5; i++) {
		static const char *const wrong[] = { "0", "-1", "1x", "nan", "1e99" };
		g_autofree char *line = g_strdup_printf("list --timeout=%s", wrong[i]);
		auto_result result = run_client(line);

		g_assert_cmpint(result.status, ==, 2);
		g_assert_nonnull(strstr(result.err, wrong[i]));
	}
	mock_down();
}

/* The server is a process that is held on to, not a number. */
static void test_start(void)
{
	g_autofree char *line = g_strdup_printf("start work --server %d --size 1M --read-only "
						"--max-segments 7",
						getpid());

	mock_up();
	{
		auto_result result = run_client(line);
		auto_result no_size = run_client("start work --server 1");
		auto_result no_server = run_client("start work --size 1M");
		auto_result nobody = run_client("start work --size 1M --server 2147483647");
		auto_result wrong = run_client("start work --size 1M --server 0x1");
		auto_result all = run_client("start work --size 1M --server -1");
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
	add_device(5, "more", getuid());
	{
		auto_result stop = run_client("stop work");
		auto_result no_wait = run_client("del --no-wait work");
		auto_result wait = run_client("stop --wait work");

		g_assert_cmpint(stop.status | no_wait.status | wait.status, ==, 0);
	}
	set_state(5, "created");
	{
		auto_result no_wait = run_client("del --no-wait more");

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
		auto_result text = run_client("limits");
		auto_result json = run_client("limits --json 1234");
		auto_result nobody = run_client("limits no.such.user");

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

/* So many clients have the list, and hear of whatever happens from now on. */
static void wait_for_watchers(int n)
{
	while (g_atomic_int_get(&mock.lists) < n)
		g_main_context_iteration(NULL, FALSE);
	g_atomic_int_set(&mock.lists, 0);
}

static void read_event(GSubprocess *client, const char *expected, ...) G_GNUC_NULL_TERMINATED;

/* The next line, which must have all of these in it. */
static void read_event(GSubprocess *client, const char *expected, ...)
{
	g_autofree char *line = read_any_line(client);
	va_list more;

	g_test_message("%s", line);
	va_start(more, expected);
	for (; expected; expected = va_arg(more, const char *))
		if (!line || !strstr(line, expected))
			g_error("“%s” is not in the line “%s”", expected, line);
	va_end(more);
}

static struct result end_by(GSubprocess *client, int signal)
{
	g_subprocess_send_signal(client, signal);
	return end_client(client);
}

/* What is there, what comes, changes and goes; one's own, unless all are asked for. */
static void test_monitor(void)
{
	g_autoptr(GSubprocess) client = NULL;

	mock_up();
	client = start_client("monitor --json 0 more");
	read_event(client, "{\"version\": 1,\"time\": \"2", "\"event\": \"present\"",
		   "\"name\": \"work\"", NULL);
	read_event(client, "\"event\": \"ready\"", NULL);
	add_device(4, "nobody's", getuid());
	add_device(5, "more", getuid());
	read_event(client, "\"event\": \"added\"", "\"name\": \"more\"", NULL);
	set_state(5, "stopping");
	read_event(client, "\"event\": \"changed\"", "\"changed\": [\"state\"]",
		   "\"state\": \"stopping\"", NULL);
	remove_device(5);
	read_event(client, "\"event\": \"removed\"", "\"id\": 5", NULL);
	{
		auto_result result = end_by(client, SIGINT);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_cmpstr(result.err, ==, "");
	}
	g_clear_object(&client);
	remove_device(4);
	client = start_client("monitor -a");
	read_event(client, "present  /dev/ublkb0  ", "/work  live  size 64M  target loop", NULL);
	read_event(client, "present  /dev/ublkb3  ", "/hers  live", NULL);
	set_state(3, "stop\033ping");
	read_event(client, "changed  /dev/ublkb3  ", "/hers  live ", " stop\\x1bping", NULL);
	set_ending(3, "its server was\a killed");
	read_event(client, "changed  /dev/ublkb3  ", "/hers  its server was\\x07 killed", NULL);
	{
		auto_result info = run_client("info 3");

		g_assert_nonnull(
			strstr(info.out, "Goes away:           its server was\\x07 killed\n"));
	}
	{
		auto_result result = end_by(client, SIGTERM);

		g_assert_cmpint(result.status, ==, 0);
	}
	mock_down();
}

/* What happened while ublkd was away is told when it is back; it is not started for that. */
static void test_monitor_restart(void)
{
	g_autoptr(GSubprocess) client = NULL;

	mock_up();
	add_device(5, "more", getuid());
	add_device(6, "most", getuid());
	client = start_client("monitor --json work more most new");
	read_event(client, "present", "work", NULL);
	read_event(client, "present", "more", NULL);
	read_event(client, "present", "most", NULL);
	read_event(client, "ready", NULL);
	g_bus_unown_name(mock.name);
	read_event(client, "\"event\": \"lost\"", NULL);
	/* Nobody's signals now. */
	set_state(0, "stopping");
	remove_device(5);
	remove_device(6);
	add_device(6, "new", getuid());
	{
		g_autoptr(UblkBusDevice) another = get_device(6);

		ublk_bus_device_set_created_at(another, 1);
	}
	take_name();
	read_event(client, "removed", "more", NULL);
	read_event(client, "changed", "\"changed\": [\"state\"]", "work", NULL);
	/* Another one with the same number. */
	read_event(client, "removed", "most", NULL);
	read_event(client, "added", "new", NULL);
	read_event(client, "\"event\": \"back\"", NULL);
	set_state(0, "dead");
	read_event(client, "changed", "work", "dead", NULL);
	{
		auto_result result = end_by(client, SIGTERM);

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
	client = start_client("monitor --json work");
	read_event(client, "present", NULL);
	read_event(client, "ready", NULL);
	g_assert_true(g_dbus_connection_emit_signal(
		other, NULL, UBLK_BUS_ROOT, "org.freedesktop.DBus.ObjectManager",
		"InterfacesRemoved", g_variant_new("(o^as)", UBLK_BUS_DEVICES "/0", interfaces),
		NULL));
	g_assert_true(g_dbus_connection_flush_sync(other, NULL, NULL));
	set_state(0, "stopping");
	read_event(client, "changed", NULL);
	{
		auto_result result = end_by(client, SIGTERM);

		g_assert_cmpint(result.status, ==, 0);
	}
	mock_down();
}

/* Devices that the kernel does not know have no figures; the rest of it is tested with real ones.
 */
static void test_stat(void)
{
	mock_up();
	add_device(5, "more", getuid());
	add_device(6, "made", getuid());
	set_state(6, "created");
	{
		auto_result text = run_client("stat -c 1 -i 0.1");
		auto_result json = run_client("stat --json -c 2 -i 0.1 work");
		auto_result none = run_client("stat nothing");
		auto_result wrong = run_client("stat -i 0");

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
	add_device(5, "more", getuid());
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
		auto_result now = run_client("wait work 3");
		auto_result quiet = run_client("wait -q work");
		auto_result wrong = run_client("wait --for ever work");
		auto_result late = run_client("wait --timeout 0.1 later");

		g_assert_cmpint(now.status, ==, 0);
		g_assert_cmpstr(now.out, ==, "/dev/ublkb0\n/dev/ublkb3\n");
		g_assert_cmpstr(quiet.out, ==, "");
		g_assert_cmpint(quiet.status, ==, 0);
		g_assert_cmpint(wrong.status, ==, 2);
		g_assert_cmpint(late.status, ==, 6);
		g_assert_nonnull(strstr(late.err, "“later” is not live"));
	}
	/* By the signals of one that comes, over a restart of ublkd. */
	g_atomic_int_set(&mock.lists, 0);
	client = start_client("wait later work");
	wait_for_watchers(1);
	add_device(5, "later", getuid());
	set_state(5, "created");
	g_bus_unown_name(mock.name);
	take_name();
	set_state(5, "starting");
	set_state(5, "live");
	{
		auto_result result = end_client(client);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "/dev/ublkb5\n/dev/ublkb0\n");
	}
	mock_down();
}

static void test_wait_gone(void)
{
	g_autoptr(GSubprocess) gone = NULL, live = NULL;

	mock_up();
	add_device(0x30, "0", getuid());
	set_state(0, "starting");
	{
		auto_result never = run_client("wait --for gone nothing");
		auto_result which = run_client("wait --for gone 0");

		g_assert_cmpint(never.status, ==, 0);
		g_assert_cmpint(which.status, ==, 2);
		g_assert_nonnull(strstr(which.err, "/dev/ublkb0"));
		g_assert_nonnull(strstr(which.err, "/dev/ublkb48"));
	}
	g_atomic_int_set(&mock.lists, 0);
	gone = start_client("wait --for gone work");
	live = start_client("wait work");
	wait_for_watchers(2);
	/* The next one with the number is another one. */
	remove_device(0);
	add_device(0, "work", getuid());
	{
		auto_result result = end_client(gone);
		auto_result other = end_client(live);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.out, ==, "");
		g_assert_cmpint(other.status, ==, 3);
		g_assert_nonnull(
			strstr(other.err, "“work” will not be live any more, it goes away: "));
	}
	mock_down();
}

static void test_features(void)
{
	mock_up();
	{
		auto_result features = run_client("features");
		auto_result json = run_client("features --json");

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

#define SERVER_READY "printf 'READY=1\\nsize=1048576\\n' >&4\nexec 4>&-\nexec sleep 1000"

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
	g_autofree char *server = serve_up(&folder, SERVER_READY);
	g_autofree char *path = g_build_filename(folder, "arguments", NULL);
	g_autofree char *char_path = g_build_filename(folder, "char", NULL);
	g_autoptr(GSubprocess)
		client = start_client("serve -t null --size 1M --name served -q 7 --read-only");

	read_line(client, "/dev/ublkb9");
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
		auto_result result = end_client(client);

		g_assert_cmpint(result.status, ==, 0);
		g_assert_cmpstr(result.err, ==, "");
	}
	assert_server_gone();
	g_assert_cmpstr(mock.calls->str, ==,
			"CreateDevice {'name': <'served'>, 'queues': <uint32 7>}\nStart\n"
			"Delete /org/ublk1/devices/9\n");
	serve_down(folder, server);
}

/* No client, no server: nobody would be left to end it. */
static void test_serve_killed(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_READY);
	g_autoptr(GSubprocess) client = start_client("serve -t null --size 1M");

	read_line(client, "/dev/ublkb9");
	g_subprocess_send_signal(client, SIGKILL);
	assert_server_gone();
	g_subprocess_wait(client, NULL, NULL);
	serve_down(folder, server);
}

static void test_serve_server_killed(void)
{
	g_autofree char *folder = NULL;
	g_autofree char *server = serve_up(&folder, SERVER_READY);
	g_autoptr(GSubprocess) client = start_client("serve -t null --size 1M");

	read_line(client, "/dev/ublkb9");
	signal_server(SIGKILL);
	{
		auto_result result = end_client(client);

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
	g_autoptr(GSubprocess) client = start_client("serve -t null --size 1M");

	while (!strstr(mock.calls->str, "CreateDevice"))
		g_main_context_iteration(NULL, TRUE);
	mock.error = UBLK_BUS_ERROR_NOT_SUPPORTED;
	{
		auto_result result = end_client(client);

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
	g_autoptr(GSubprocess) client = start_client("serve -t null --size 1M");

	while (!strstr(mock.calls->str, "CreateDevice"))
		g_main_context_iteration(NULL, TRUE);
	mock.error = UBLK_BUS_ERROR_NOT_SUPPORTED;
	{
		auto_result result = end_client(client);

		g_assert_cmpint(result.status, ==, 1);
		/* What the server says reaches the user too. */
		g_assert_nonnull(strstr(result.err, "server: no io_uring\n"));
	}
	g_assert_cmpstr(mock.report, ==, "");
	serve_down(folder, server);
}

static void test_serve_no_server(void)
{
	mock_up();
	g_setenv("UBLK_SERVER", "/no/such/ublk-server", TRUE);
	{
		auto_result result = run_client("serve -t null --size 1M");

		g_assert_cmpint(result.status, ==, 1);
		g_assert_nonnull(strstr(result.err, "/no/such/ublk-server"));
	}
	g_assert_nonnull(strstr(mock.calls->str, "Delete /org/ublk1/devices/9\n"));
	mock_down();
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	g_assert_nonnull(g_getenv("UBLK_CLIENT"));
	/* No user's session and no accessibility bus in the middle of it. */
	mock.bus = g_test_dbus_new(G_TEST_DBUS_NONE);
	g_test_dbus_up(mock.bus);
	g_setenv("DBUS_SYSTEM_BUS_ADDRESS", g_test_dbus_get_bus_address(mock.bus), TRUE);
	mock.connection = g_dbus_connection_new_for_address_sync(
		g_test_dbus_get_bus_address(mock.bus),
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
			G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
		NULL, NULL, NULL);
	g_assert_nonnull(mock.connection);
	g_dbus_connection_add_filter(mock.connection, count_lists, NULL, NULL);

	g_test_add_func("/client/verbs/absent", test_absent);
	g_test_add_func("/client/verbs/add", test_add);
	g_test_add_func("/client/verbs/create", test_create);
	g_test_add_func("/client/verbs/errors", test_errors);
	g_test_add_func("/client/verbs/list", test_list);
	g_test_add_func("/client/verbs/info", test_info);
	g_test_add_func("/client/verbs/del", test_del);
	g_test_add_func("/client/verbs/resize", test_resize);
	g_test_add_func("/client/verbs/open", test_open);
	g_test_add_func("/client/verbs/cdi", test_cdi);
	g_test_add_func("/client/verbs/features", test_features);
	g_test_add_func("/client/verbs/quiet", test_quiet);
	g_test_add_func("/client/verbs/timeout", test_timeout);
	g_test_add_func("/client/verbs/start", test_start);
	g_test_add_func("/client/verbs/stop", test_stop);
	g_test_add_func("/client/verbs/limits", test_limits);
	g_test_add_func("/client/monitor/events", test_monitor);
	g_test_add_func("/client/monitor/restart", test_monitor_restart);
	g_test_add_func("/client/monitor/forged", test_monitor_forged);
	g_test_add_func("/client/verbs/stat", test_stat);
	g_test_add_func("/client/verbs/stat-on-terminal", test_stat_on_terminal);
	g_test_add_func("/client/wait/live", test_wait_live);
	g_test_add_func("/client/wait/gone", test_wait_gone);
	g_test_add_func("/client/serve/until-interrupted", test_serve);
	g_test_add_func("/client/serve/killed", test_serve_killed);
	g_test_add_func("/client/serve/server-killed", test_serve_server_killed);
	g_test_add_func("/client/serve/not-started", test_serve_not_started);
	g_test_add_func("/client/serve/server-dies-at-once", test_serve_dies_at_once);
	g_test_add_func("/client/serve/no-server", test_serve_no_server);
	status = g_test_run();
	g_clear_object(&mock.connection);
	g_test_dbus_down(mock.bus);
	g_clear_object(&mock.bus);
	return status;
}
