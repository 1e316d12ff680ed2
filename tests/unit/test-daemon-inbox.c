/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the bus and GDBus: what is too large or too much is refused, connections take turns,
 * descriptors go with their call, and signals to ublkd alone do not get in. The bus is this file.
 */
#include <gio/gunixfdlist.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/inbox.h"
#include "daemon/turns.h"
#include "ublk-dbus.h"

#define UBLKD "org.test.ublkd"

static int bus_end = -1; /* the bus's end of ublkd's connection */
static GDBusConnection *connection;
static GPtrArray *callers; /* who called, in the order that the calls were answered in */
static guint descriptors;  /* that came with the last call */
static GHashTable *files;  /* sender → the inode of the descriptor of its last call, NULL: none */
static guint signals, strangers;

/* ---- a bus with one client ---- */

static void send_blob(const void *blob, gsize len, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)blob, len };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	/* blocks, and all of it goes or nothing */
	g_assert_cmpint(sendmsg(bus_end, &message, MSG_NOSIGNAL), ==, (gssize)len);
}

static void send_message(GDBusMessage *message, const char *sender, int fd)
{
	static guint32 serial;
	g_autoptr(GError) error = NULL;
	g_autofree guchar *blob = NULL;
	gsize len;

	g_dbus_message_set_sender(message, sender);
	g_dbus_message_set_serial(message, ++serial);
	if (fd >= 0) {
		g_autoptr(GUnixFDList) list = g_unix_fd_list_new();

		g_unix_fd_list_append(list, fd, NULL);
		g_dbus_message_set_unix_fd_list(message, list);
	}
	blob = g_dbus_message_to_blob(message, &len, G_DBUS_CAPABILITY_FLAGS_UNIX_FD_PASSING,
				      &error);
	g_assert_no_error(error);
	send_blob(blob, len, fd);
}

static void call(const char *sender, gsize size, int fd)
{
	g_autoptr(GDBusMessage) message =
		g_dbus_message_new_method_call(UBLKD, "/object", "org.test.Interface", "Method");
	g_autofree char *text = g_strnfill(size, 'x');

	g_dbus_message_set_body(message, g_variant_new("(s)", text));
	send_message(message, sender, fd);
}

static void read_all(guchar *to, gsize len)
{
	for (gssize n; len; len -= (gsize)n, to += n) {
		n = read(bus_end, to, len);
		g_assert_cmpint(n, >, 0);
	}
}

static GDBusMessage *read_message(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree guchar *blob = g_malloc(16);
	GDBusMessage *message;
	gssize len;

	read_all(blob, 16);
	len = g_dbus_message_bytes_needed(blob, 16, &error);
	g_assert_no_error(error);
	blob = g_realloc(blob, (gsize)len);
	read_all(blob + 16, (gsize)len - 16);
	message = g_dbus_message_new_from_blob(blob, (gsize)len, G_DBUS_CAPABILITY_FLAGS_NONE,
					       &error);
	g_assert_no_error(error);
	return message;
}

/* The next that ublkd says must be this error, for that caller. */
static void assert_refused(const char *sender, const char *name)
{
	g_autoptr(GDBusMessage) message = read_message();

	g_assert_cmpint(g_dbus_message_get_message_type(message), ==, G_DBUS_MESSAGE_TYPE_ERROR);
	g_assert_cmpstr(g_dbus_message_get_error_name(message), ==, name);
	g_assert_cmpstr(g_dbus_message_get_destination(message), ==, sender);
}

/* From the first byte to the answer to Hello. */
static gpointer greet(gpointer listener)
{
	g_autoptr(GDBusMessage) hello = NULL;
	g_autoptr(GDBusMessage) reply = NULL;
	char line[256] = "";
	gsize len = 0;

	bus_end = accept(GPOINTER_TO_INT(listener), NULL, NULL);
	g_assert_cmpint(bus_end, >=, 0);
	read_all((guchar *)line, 1);
	while (!g_str_has_prefix(line, "BEGIN")) {
		const char *answer = "ERROR\r\n";

		for (len = 0; len == 0 || line[len - 1] != '\n'; len++)
			read_all((guchar *)line + len, 1);
		line[len] = '\0';
		/* who it is may be said in the same line, in the next, or left to the socket */
		if (g_str_equal(line, "AUTH EXTERNAL\r\n"))
			answer = "DATA\r\n";
		else if (g_str_has_prefix(line, "AUTH EXTERNAL") || g_str_has_prefix(line, "DATA"))
			answer = "OK 0123456789abcdef0123456789abcdef\r\n";
		else if (g_str_has_prefix(line, "AUTH"))
			answer = "REJECTED EXTERNAL\r\n";
		else if (g_str_has_prefix(line, "NEGOTIATE_UNIX_FD"))
			answer = "AGREE_UNIX_FD\r\n";
		else if (g_str_has_prefix(line, "BEGIN"))
			answer = "";
		if (*answer)
			send_blob(answer, strlen(answer), -1);
	}
	hello = read_message();
	g_assert_cmpstr(g_dbus_message_get_member(hello), ==, "Hello");
	reply = g_dbus_message_new_method_reply(hello);
	g_dbus_message_set_body(reply, g_variant_new("(s)", ":1.0"));
	send_message(reply, "org.freedesktop.DBus", -1);
	return NULL;
}

/* ---- what ublkd does with calls ---- */

static void on_call(GDBusConnection *bus, const char *sender, const char *path,
		    const char *interface, const char *method, GVariant *parameters,
		    GDBusMethodInvocation *invocation, gpointer unused)
{
	GDBusMessage *message = g_dbus_method_invocation_get_message(invocation);
	GUnixFDList *list = g_dbus_message_get_unix_fd_list(message);
	struct stat status = { 0 };
	int fd;

	g_ptr_array_add(callers, g_strdup(sender));
	descriptors = list ? (guint)g_unix_fd_list_get_length(list) : 0;
	if (descriptors) {
		fd = g_unix_fd_list_get(list, 0, NULL);
		g_assert_cmpint(fstat(fd, &status), ==, 0);
		close(fd);
	}
	g_hash_table_insert(files, g_strdup(sender), GSIZE_TO_POINTER(status.st_ino));
	g_object_unref(invocation);
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path,
		      const char *interface, const char *signal, GVariant *parameters,
		      gpointer unused)
{
	signals++;
}

static void wait_for_calls(guint n)
{
	while (callers->len < n)
		g_main_context_iteration(NULL, TRUE);
}

/* Each is a user of its own. */
static void on_stranger(const char *sender)
{
	turns_introduce(sender, 1000 + ++strangers);
	inbox_give();
}

static void open_once(void)
{
	static const GDBusInterfaceVTable vtable = { .method_call = on_call };
	static const char xml[] =
		"<node><interface name='org.test.Interface'><method name='Method'>"
		"<arg type='s' direction='in'/></method></interface></node>";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);
	g_autoptr(GError) error = NULL;
	g_autofree char *directory = g_dir_make_tmp("ublkd-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "bus", NULL);
	g_autofree char *name = g_strdup_printf("unix:path=%s", path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	GThread *thread;

	if (connection)
		return;
	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	g_assert_cmpint(bind(listener, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	g_assert_cmpint(listen(listener, 1), ==, 0);
	g_setenv("DBUS_SYSTEM_BUS_ADDRESS", name, TRUE);
	thread = g_thread_new("bus", greet, GINT_TO_POINTER(listener));
	connection = inbox_open(on_stranger, &error);
	g_assert_no_error(error);
	g_thread_join(thread);
	close(listener);
	g_remove(path);
	g_rmdir(directory);

	g_dbus_connection_set_exit_on_close(connection, FALSE);
	g_dbus_connection_register_object(connection, "/object", node->interfaces[0], &vtable, NULL,
					  NULL, NULL);
	/* said by the bus, this needs no match */
	g_dbus_connection_signal_subscribe(connection, NULL, "org.test.Interface", "Signal", NULL,
					   NULL, G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_signal, NULL,
					   NULL);
	callers = g_ptr_array_new_with_free_func(g_free);
	files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void begin(void)
{
	open_once();
	g_ptr_array_set_size(callers, 0);
}

/* The main loop does not run while these are sent, as if it were busy. */
static void takes_turns(void)
{
	guint at = 0;

	begin();
	for (int i = 0; i < 164; i++)
		call(":1.1", 10, -1);
	for (int i = 0; i < 36; i++)
		assert_refused(":1.1", UBLK_BUS_ERROR_LIMIT_EXCEEDED);
	call(":1.2", 10, -1);
	/* when this is refused, that is in the queue */
	call(":1.3", 20000, -1);
	assert_refused(":1.3", UBLK_BUS_ERROR_INVALID_ARGUMENT);

	wait_for_calls(129);
	while (!g_str_equal(g_ptr_array_index(callers, at), ":1.2"))
		at++;
	/* 8 were GDBus's already, and one of the other's may have had the next turn */
	g_assert_cmpuint(at, <=, 9);

	/* what is done counts no more */
	for (int i = 0; i < 64; i++)
		call(":1.1", 10, -1);
	wait_for_calls(129 + 64);
	/* asked for once */
	g_assert_cmpuint(strangers, ==, 2);
}

static void refuses_large_calls(void)
{
	begin();
	call(":1.1", 20000, -1);
	assert_refused(":1.1", UBLK_BUS_ERROR_INVALID_ARGUMENT);
	/* far beyond what is read at once, and the next message begins where it should */
	call(":1.1", 200000, -1);
	assert_refused(":1.1", UBLK_BUS_ERROR_INVALID_ARGUMENT);
	call(":1.1", 16000, -1);
	wait_for_calls(1);
}

static void hands_on_descriptors(void)
{
	int fds[2];

	begin();
	g_assert_cmpint(pipe(fds), ==, 0);
	call(":1.1", 10, fds[0]);
	wait_for_calls(1);
	g_assert_cmpuint(descriptors, ==, 1);
	call(":1.1", 10, -1);
	wait_for_calls(2);
	g_assert_cmpuint(descriptors, ==, 0);
	/* of a call that is refused they do not go to the next */
	call(":1.1", 20000, fds[0]);
	assert_refused(":1.1", UBLK_BUS_ERROR_INVALID_ARGUMENT);
	call(":1.2", 10, -1);
	wait_for_calls(3);
	g_assert_cmpuint(descriptors, ==, 0);
	call(":1.2", 10, fds[1]);
	wait_for_calls(4);
	g_assert_cmpuint(descriptors, ==, 1);
	close(fds[0]);
	close(fds[1]);
}

/* One that is passed over for its header alone, and long enough to be read in several pieces. */
static void call_with_large_header(const char *sender, gsize size, int fd)
{
	g_autofree char *name = g_strnfill(20000, 'x');
	g_autofree char *path = g_strconcat("/", name, NULL);
	g_autofree char *text = g_strnfill(size, 'x');
	g_autoptr(GDBusMessage) message =
		g_dbus_message_new_method_call(UBLKD, path, "org.test.Interface", "Method");

	g_dbus_message_set_body(message, g_variant_new("(s)", text));
	send_message(message, sender, fd);
}

/* Whatever lies between them: each call has its own descriptor, or none, and nobody has another's.
 */
static void gives_nobody_anothers_descriptor(void)
{
	guint n = 0;
	int theirs[2], own[2];
	struct stat status;

	begin();
	g_assert_cmpint(pipe(theirs), ==, 0);
	g_assert_cmpint(pipe(own), ==, 0);
	g_assert_cmpint(fstat(own[0], &status), ==, 0);
	for (gsize size = 20000; size < 140000; size += 1500) {
		call_with_large_header(":1.9", size, theirs[0]);
		call(":1.1", 10, own[0]);
		call_with_large_header(":1.9", size + 700, theirs[0]);
		call(":1.9", 10, -1);
		wait_for_calls(n += 2);
		g_assert_true(g_hash_table_lookup(files, ":1.1") ==
			      GSIZE_TO_POINTER(status.st_ino));
		g_assert_null(g_hash_table_lookup(files, ":1.9"));
	}
	for (int i = 0; i < 2; i++) {
		close(theirs[i]);
		close(own[i]);
	}
}

static void send_signal(const char *destination)
{
	g_autoptr(GDBusMessage)
		message = g_dbus_message_new_signal("/object", "org.test.Interface", "Signal");

	if (destination)
		g_dbus_message_set_destination(message, destination);
	send_message(message, ":1.4", -1);
}

/* Descriptors are few: those of waiting calls shall not be all of them. */
static void counts_descriptors(void)
{
	int fd = g_open("/dev/null", O_RDONLY, 0);

	begin();
	for (int i = 0; i < 8; i++)
		call(":1.20", 10, fd);
	assert_refused(":1.20", UBLK_BUS_ERROR_LIMIT_EXCEEDED);
	wait_for_calls(7);
	close(fd);
}

static void drops_signals_to_ublkd_alone(void)
{
	begin();
	signals = 0;
	send_signal(":1.0");
	send_signal(NULL);
	call(":1.1", 10, -1);
	wait_for_calls(1);
	while (signals == 0)
		g_main_context_iteration(NULL, TRUE);
	while (g_main_context_iteration(NULL, FALSE))
		;
	g_assert_cmpuint(signals, ==, 1);
}

/* What was sent last is on the bus before ublkd ends. */
static void sends_all_before_the_end(void)
{
	g_autoptr(GDBusMessage) last = NULL;
	g_autoptr(GDBusMessage)
		message = g_dbus_message_new_signal("/object", "org.test.Interface", "Last");

	begin();
	g_assert_true(g_dbus_connection_send_message(connection, message, 0, NULL, NULL));
	inbox_close(connection);
	last = read_message();
	g_assert_cmpstr(g_dbus_message_get_member(last), ==, "Last");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/inbox/takes-turns", takes_turns);
	g_test_add_func("/inbox/refuses-large-calls", refuses_large_calls);
	g_test_add_func("/inbox/hands-on-descriptors", hands_on_descriptors);
	g_test_add_func("/inbox/gives-nobody-anothers-descriptor",
			gives_nobody_anothers_descriptor);
	g_test_add_func("/inbox/counts-descriptors", counts_descriptors);
	g_test_add_func("/inbox/drops-signals-to-ublkd-alone", drops_signals_to_ublkd_alone);
	g_test_add_func("/inbox/sends-all-before-the-end", sends_all_before_the_end);
	return g_test_run();
}
