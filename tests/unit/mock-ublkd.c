/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mock-ublkd.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct mock mock;

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

/* As its server does. */
static void lock_file(GVariant *options)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const char *path;

	if (!g_variant_lookup(options, UBLK_OPT_FILE, "&s", &path) || mock.exchanged)
		return;
	mock.file = open(path, O_RDWR | O_CLOEXEC);
	if (mock.file >= 0)
		g_assert_no_errno(fcntl(mock.file, F_OFD_SETLK, &lock));
}

static void unlock_file(void)
{
	if (mock.file >= 0)
		close(mock.file);
	mock.file = -1;
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
	if (mock.silent) {
		g_object_unref(invocation);
	} else if (!refuse(invocation)) {
		unlock_file();
		lock_file(options);
		ublk_bus_manager_complete_add_device(manager, invocation, NULL,
						     "/org/ublk1/devices/4");
	}
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
		mock_add_device(9, "served", getuid());
		ublk_bus_manager_complete_create_device(manager, invocation, reply,
							"/org/ublk1/devices/9",
							g_variant_new_handle(0));
	}
	close(fd);
	return TRUE;
}

void mock_signal_server(int signal)
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

static int report_socket = -1;

static gboolean handle_open_report(UblkBusDevice *device, GDBusMethodInvocation *invocation,
				   GUnixFDList *fds, GVariant *options)
{
	g_autoptr(GUnixFDList) reply = g_unix_fd_list_new();
	static const int yes = 1;
	int ends[2];

	note("OpenReport", options);
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
	g_assert_cmpint(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)), ==, 0);
	report_socket = ends[0];
	g_unix_fd_list_append(reply, ends[1], NULL);
	close(ends[1]);
	ublk_bus_device_complete_open_report(device, invocation, reply, g_variant_new_handle(0));
	return TRUE;
}

static gboolean handle_start(UblkBusDevice *device, GDBusMethodInvocation *invocation,
			     GUnixFDList *fds, GVariant *options)
{
	gboolean report = FALSE;
	gint32 server;

	/* Of a server that does not report: the parameters are the options. */
	if (!g_variant_lookup(options, "report", "b", &report) || !report) {
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
	g_assert_true(g_variant_lookup(options, "server", "h", &server));
	mock.server_pidfd = g_unix_fd_list_get(fds, server, NULL);
	g_assert_cmpint(report_socket, >=, 0);
	receive_report(report_socket);
	close(report_socket);
	report_socket = -1;
	if (mock.silent) {
		g_object_unref(invocation);
	} else if (!refuse(invocation)) {
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
	if (mock.silent) {
		g_object_unref(invocation);
		return TRUE;
	}
	if (mock.error && g_str_has_suffix(path, "/0")) {
		refuse(invocation);
		return TRUE;
	}
	/* The kernel ends the server of a device that it takes away. */
	if (mock.server_pidfd >= 0 && g_str_has_suffix(path, "/9"))
		mock_signal_server(SIGTERM);
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
	if (!refuse(invocation)) {
		ublk_bus_device_set_size(device, size);
		ublk_bus_device_complete_resize(device, invocation);
	}
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

void mock_add_device(guint32 id, const char *name, guint32 uid)
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
	ublk_bus_device_set_server_error(device, "");
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
	g_signal_connect(device, "handle-open-report", G_CALLBACK(handle_open_report), NULL);
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
	if (mock.leaves)
		g_bus_unown_name(mock.name);
	ublk_bus_manager_complete_get_limits(
		manager, invocation,
		g_variant_new_parsed("{'devices-per-user': <@u 1>, 'queue-memory-per-user': "
				     "<@t 67108864>, 'new': <@u 7>, 'odd': <'text'>}"),
		g_variant_new_parsed("{'devices-per-user': <@u 1>, 'queue-memory-per-user': "
				     "<@t 131072>}"));
	return TRUE;
}

static gboolean handle_get_ended(UblkBusManager *manager, GDBusMethodInvocation *invocation,
				 GVariant *options)
{
	ublk_bus_manager_complete_get_ended(
		manager, invocation,
		g_variant_new_parsed("[{'Id': <@u 5>, 'Name': <'lost'>, 'OwnerUid': <%u>, "
				     "'Ending': <'its server was\a killed'>, "
				     "'EndedAt': <@t 1700000000000000>}]",
				     (guint32)getuid()));
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
	g_signal_connect(manager, "handle-get-ended", G_CALLBACK(handle_get_ended), NULL);
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

static GDBusMessage *filter(GDBusConnection *connection, GDBusMessage *message, gboolean incoming,
			    gpointer data)
{
	if (g_atomic_int_get(&mock.mute) && incoming &&
	    g_strcmp0(g_dbus_message_get_member(message), "GetAll") == 0) {
		g_atomic_int_inc(&mock.ignored);
		g_object_unref(message);
		return NULL;
	}
	if (!incoming && g_strcmp0(g_dbus_message_get_signature(message), "a{oa{sa{sv}}}") == 0)
		g_atomic_int_inc(&mock.lists);
	return message;
}

void mock_take_name(void)
{
	gboolean owned = FALSE;

	mock.name = g_bus_own_name_on_connection(mock.connection, UBLK_BUS_NAME, 0, set_name, NULL,
						 &owned, NULL);
	while (!owned)
		g_main_context_iteration(NULL, TRUE);
}

void mock_up(void)
{
	mock.calls = g_string_new(NULL);
	mock.error = NULL;
	mock.meant = 0;
	mock.silent = FALSE;
	g_atomic_int_set(&mock.mute, FALSE);
	g_atomic_int_set(&mock.ignored, 0);
	mock.leaves = FALSE;
	mock.exchanged = FALSE;
	mock.file = -1;
	g_atomic_int_set(&mock.lists, 0);
	mock.backing = "/home/me/disk.img";
	mock.server_pidfd = -1;
	mock.objects = g_dbus_object_manager_server_new(UBLK_BUS_ROOT);
	add_manager();
	mock_add_device(0, "work", getuid());
	mock_add_device(3, "hers", getuid() + 1);
	g_dbus_object_manager_server_set_connection(mock.objects, mock.connection);
	mock_take_name();
}

void mock_down(void)
{
	g_bus_unown_name(mock.name);
	g_clear_object(&mock.objects);
	g_string_free(mock.calls, TRUE);
	g_clear_pointer(&mock.report, g_free);
	unlock_file();
	if (mock.server_pidfd >= 0)
		close(mock.server_pidfd);
}

UblkBusDevice *mock_get_device(guint32 id)
{
	g_autofree char *path = g_strdup_printf(UBLK_BUS_DEVICES "/%u", id);
	g_autoptr(GDBusObject) object =
		g_dbus_object_manager_get_object(G_DBUS_OBJECT_MANAGER(mock.objects), path);

	return ublk_bus_object_get_device(UBLK_BUS_OBJECT(object));
}

void mock_set_state(guint32 id, const char *state)
{
	g_autoptr(UblkBusDevice) device = mock_get_device(id);

	ublk_bus_device_set_state(device, state);
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(device));
}

void mock_set_server_error(guint32 id, const char *text)
{
	g_autoptr(UblkBusDevice) device = mock_get_device(id);

	ublk_bus_device_set_server_error(device, text);
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(device));
}

void mock_set_ending(guint32 id, const char *ending)
{
	g_autoptr(UblkBusDevice) device = mock_get_device(id);

	ublk_bus_device_set_ending(device, ending);
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(device));
}

void mock_remove_device(guint32 id)
{
	g_autofree char *path = g_strdup_printf(UBLK_BUS_DEVICES "/%u", id);

	g_dbus_object_manager_server_unexport(mock.objects, path);
}

void mock_wait_for_watchers(int n)
{
	while (g_atomic_int_get(&mock.lists) < n)
		g_main_context_iteration(NULL, FALSE);
	g_atomic_int_set(&mock.lists, 0);
}

void client_free_result(struct client_result *result)
{
	g_free(result->out);
	g_free(result->err);
}

static void on_communicated(GObject *source, GAsyncResult *done, gpointer data)
{
	struct client_result *result = data;
	g_autoptr(GError) error = NULL;

	g_subprocess_communicate_utf8_finish(G_SUBPROCESS(source), done, &result->out, &result->err,
					     &error);
	g_assert_no_error(error);
	result->status = g_subprocess_get_if_exited(G_SUBPROCESS(source))
				 ? g_subprocess_get_exit_status(G_SUBPROCESS(source))
				 : -g_subprocess_get_term_sig(G_SUBPROCESS(source));
}

GSubprocess *client_start(const char *line)
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

char *client_read_any_line(GSubprocess *client)
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

void client_read_line(GSubprocess *client, const char *expected)
{
	g_autofree char *line = client_read_any_line(client);

	g_assert_cmpstr(line, ==, expected);
}

struct client_result client_end(GSubprocess *client)
{
	struct client_result result = { NULL, NULL, -1000 };

	g_subprocess_communicate_utf8_async(client, NULL, NULL, on_communicated, &result);
	while (result.status == -1000)
		g_main_context_iteration(NULL, TRUE);
	g_test_message("status %d\n%s%s", result.status, result.out, result.err);
	return result;
}

struct client_result client_run(const char *line)
{
	g_autoptr(GSubprocess) client = client_start(line);

	g_test_message("ublk-client %s", line);
	return client_end(client);
}

int mock_main(int argc, char **argv, void (*add_tests)(void))
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
	g_dbus_connection_add_filter(mock.connection, filter, NULL, NULL);

	add_tests();
	status = g_test_run();
	g_clear_object(&mock.connection);
	g_test_dbus_down(mock.bus);
	g_clear_object(&mock.bus);
	return status;
}
