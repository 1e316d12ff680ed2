/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flood-bus calls [CONNECTIONS]
 *   Calls on so many connections, without a pause: some read all there is, some are refused, some
 *   make devices.
 * flood-bus silent [CONNECTIONS]
 *   The same, and no answer is wanted.
 * flood-bus reconnect
 *   Connections that make a device and leave before the answer.
 * flood-bus devices [DEVICES]
 *   So many devices, which must be all that the user may have; then each is deleted and made anew,
 *   again and again.
 * flood-bus prompts [CONNECTIONS]
 *   A device that takes a password on each, asked for again when it is refused, with an agent that
 *   never asks anybody for it.
 *
 * Until standard input ends, or a signal comes. Prints "ready" when it has begun (devices: when it
 * has them all), and at the end how many calls were sent, answered and refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gio/gio.h>
#include <glib-unix.h>

static _Noreturn void G_GNUC_PRINTF(1, 2) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("flood-bus: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

#define SERVICE "org.ublk1"
/* Outstanding on one connection; the bus itself refuses beyond 128. */
#define WINDOW 100
/* Of messages without an answer, sent between two looks at anything else. */
#define BURST 200

static GMainLoop *loop;
static guint sent, answered, refused, prompted;

typedef struct {
	GDBusConnection *bus;
	guint under_way, turn;
} Flooder;

static GDBusConnection *connect_anew(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, NULL);
	GDBusConnection *bus = g_dbus_connection_new_for_address_sync(
		address,
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
			G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
		NULL, NULL, &error);

	if (!bus)
		die("%s", error->message);
	return bus;
}

static GDBusMessage *make_add(void)
{
	GDBusMessage *message = g_dbus_message_new_method_call(SERVICE, "/org/ublk1/Manager",
							       "org.ublk1.Manager", "CreateDevice");

	g_dbus_message_set_body(message, g_variant_new("(a{sv})", NULL));
	return message;
}

static GDBusMessage *make_call(guint turn)
{
	GDBusMessage *message;

	if (turn % 10 == 0)
		return g_dbus_message_new_method_call(SERVICE, "/org/ublk1",
						      "org.freedesktop.DBus.ObjectManager",
						      "GetManagedObjects");
	if (turn % 10 < 3)
		return make_add();
	message = g_dbus_message_new_method_call(SERVICE, "/org/ublk1/Manager", "org.ublk1.Manager",
						 "GetDeviceByName");
	g_dbus_message_set_body(message, g_variant_new("(sa{sv})", "absent", NULL));
	return message;
}

static void fill(Flooder *flooder);

/* An answer has come, of whatever kind. */
static void count_answer(GObject *source, GAsyncResult *result)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusMessage) reply = g_dbus_connection_send_message_with_reply_finish(
		G_DBUS_CONNECTION(source), result, &error);

	if (!reply)
		die("%s", error->message);
	answered++;
	refused += g_dbus_message_get_message_type(reply) == G_DBUS_MESSAGE_TYPE_ERROR;
}

static void on_answer(GObject *source, GAsyncResult *result, gpointer user_data)
{
	Flooder *flooder = user_data;

	count_answer(source, result);
	flooder->under_way--;
	fill(flooder);
}

static void fill(Flooder *flooder)
{
	while (flooder->under_way < WINDOW) {
		g_autoptr(GDBusMessage) message = make_call(flooder->turn++);

		flooder->under_way++;
		sent++;
		g_dbus_connection_send_message_with_reply(flooder->bus, message, 0, G_MAXINT, NULL,
							  NULL, on_answer, flooder);
	}
}

static gboolean send_silent(gpointer user_data)
{
	Flooder *flooder = user_data;
	g_autoptr(GError) error = NULL;

	for (int i = 0; i < BURST; i++) {
		g_autoptr(GDBusMessage) message = make_call(flooder->turn++);

		g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
		if (!g_dbus_connection_send_message(flooder->bus, message, 0, NULL, &error))
			die("%s", error->message);
		sent++;
	}
	/* what GDBus has not written yet would only fill this program's own memory */
	g_dbus_connection_flush_sync(flooder->bus, NULL, NULL);
	return G_SOURCE_CONTINUE;
}

static gboolean reconnect(gpointer user_data)
{
	g_autoptr(GDBusConnection) bus = connect_anew();
	g_autoptr(GDBusMessage) message = make_add();
	g_autoptr(GError) error = NULL;

	if (!g_dbus_connection_send_message(bus, message, 0, NULL, &error) ||
	    !g_dbus_connection_flush_sync(bus, NULL, &error) ||
	    !g_dbus_connection_close_sync(bus, NULL, &error))
		die("%s", error->message);
	sent++;
	return G_SOURCE_CONTINUE;
}

/* ---- devices, up to the limit ---- */

static GDBusConnection *devices_bus;
/* How many are to be there, how many were ever made; and how many chains of calls go on. */
static guint wanted, made, makers;
static gboolean is_full, ending;

static void begin(void)
{
	puts("ready");
	fflush(stdout);
}

static GVariant *finish_call(GObject *source, GAsyncResult *result, GError **error)
{
	GVariant *reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, error);

	answered++;
	refused += !reply;
	return reply;
}

static void add_device(GAsyncReadyCallback done)
{
	GVariantDict options;

	g_variant_dict_init(&options, NULL);
	g_variant_dict_insert(&options, "size", "t", G_GUINT64_CONSTANT(1048576));
	sent++;
	g_dbus_connection_call(
		devices_bus, SERVICE, "/org/ublk1/Manager", "org.ublk1.Manager", "AddDevice",
		g_variant_new("(s@a{sv})", "null", g_variant_dict_end(&options)),
		G_VARIANT_TYPE("(o)"), G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, done, NULL);
}

static void on_device_made(GObject *source, GAsyncResult *result, gpointer unused);

/* Between two devices: the one is gone, the other one not there yet. */
static void make_another(void)
{
	if (!ending)
		add_device(on_device_made);
	else if (--makers == 0)
		g_main_loop_quit(loop);
}

static void delete_device(char *path);

static void on_device_deleted(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree char *path = user_data;
	g_autoptr(GVariant) reply = finish_call(source, result, NULL);

	if (reply)
		make_another();
	else
		delete_device(g_steal_pointer(&path));
}

static void delete_device(char *path)
{
	sent++;
	g_dbus_connection_call(devices_bus, SERVICE, path, "org.ublk1.Device", "Delete",
			       g_variant_new("(a{sv})", NULL), NULL, G_DBUS_CALL_FLAGS_NONE,
			       G_MAXINT, NULL, on_device_deleted, path);
}

static GPtrArray *first_devices;

static void on_one_too_many(GObject *source, GAsyncResult *result, gpointer unused)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = finish_call(source, result, &error);

	if (reply)
		die("%u devices are not all that this user may have", wanted);
	is_full = TRUE;
	begin();
	for (guint i = 0; i < first_devices->len; i++)
		delete_device(g_ptr_array_index(first_devices, i));
	makers = wanted;
}

static void on_device_made(GObject *source, GAsyncResult *result, gpointer unused)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = finish_call(source, result, &error);
	char *path;

	if (!reply) {
		if (!is_full)
			die("AddDevice: %s", error->message);
		/* too many in a minute, or at once: all the better */
		make_another();
		return;
	}
	g_variant_get(reply, "(o)", &path);
	made++;
	if (is_full) {
		delete_device(path);
		return;
	}
	g_ptr_array_add(first_devices, path);
	add_device(made < wanted ? on_device_made : on_one_too_many);
}

/* First one after the other, then all at once. */
static void hold_devices(guint devices)
{
	devices_bus = connect_anew();
	first_devices = g_ptr_array_new();
	wanted = devices;
	makers = 1;
	add_device(on_device_made);
}

/* ---- dialogs that nobody answers ---- */

static GDBusMessage *on_agent_message(GDBusConnection *bus, GDBusMessage *message,
				      gboolean incoming, gpointer user_data)
{
	if (!incoming || g_strcmp0(g_dbus_message_get_member(message), "BeginAuthentication") != 0)
		return message;
	g_atomic_int_inc((gint *)&prompted);
	g_object_unref(message);
	return NULL;
}

/* Of a process: when it began, in the kernel's ticks. */
static guint64 start_time(void)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) words = NULL;

	if (!g_file_get_contents("/proc/self/stat", &text, NULL, NULL))
		die("cannot read /proc/self/stat");
	/* field 22; the second one, in parentheses, may have blanks */
	words = g_strsplit(strrchr(text, ')') + 2, " ", -1);
	return g_ascii_strtoull(words[19], NULL, 10);
}

static void register_agent(void)
{
	GDBusConnection *bus = connect_anew();
	g_autoptr(GVariant) reply = NULL;
	g_autoptr(GError) error = NULL;
	GVariantBuilder subject;

	g_variant_builder_init(&subject, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&subject, "{sv}", "pid", g_variant_new_uint32((guint32)getpid()));
	g_variant_builder_add(&subject, "{sv}", "start-time", g_variant_new_uint64(start_time()));
	g_variant_builder_add(&subject, "{sv}", "uid", g_variant_new_int32((gint32)getuid()));
	g_dbus_connection_add_filter(bus, on_agent_message, NULL, NULL);
	reply = g_dbus_connection_call_sync(
		bus, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
		"org.freedesktop.PolicyKit1.Authority", "RegisterAuthenticationAgent",
		g_variant_new("((sa{sv})ss)", "unix-process", &subject, "C", "/agent"), NULL,
		G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
	if (!reply)
		die("cannot be an agent: %s", error->message);
}

static void ask(Flooder *flooder);

static void on_asked(GObject *source, GAsyncResult *result, gpointer user_data)
{
	count_answer(source, result);
	ask(user_data);
}

static void ask(Flooder *flooder)
{
	g_autoptr(GDBusMessage) message = make_add();

	g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION);
	sent++;
	g_dbus_connection_send_message_with_reply(flooder->bus, message, 0, G_MAXINT, NULL, NULL,
						  on_asked, flooder);
}

static gboolean on_end(gint fd, GIOCondition condition, gpointer unused)
{
	char buf[64];

	if (read(fd, buf, sizeof(buf)) > 0)
		return G_SOURCE_CONTINUE;
	/* its devices do not go with their maker */
	ending = TRUE;
	if (makers == 0)
		g_main_loop_quit(loop);
	return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer unused)
{
	g_main_loop_quit(loop);
	return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int connections = argc > 2 ? atoi(argv[2]) : 1;
	Flooder *flooders;

	loop = g_main_loop_new(NULL, FALSE);
	g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, on_end, NULL);
	g_unix_signal_add(SIGTERM, on_signal, NULL);
	flooders = g_new0(Flooder, MAX(connections, 1));
	if (strcmp(what, "prompts") == 0)
		register_agent();
	if (strcmp(what, "devices") == 0) {
		hold_devices((guint)connections);
		connections = 0;
	}
	for (int i = 0; i < connections && strcmp(what, "reconnect") != 0; i++) {
		flooders[i].bus = connect_anew();
		if (strcmp(what, "calls") == 0)
			fill(&flooders[i]);
		else if (strcmp(what, "silent") == 0)
			g_idle_add(send_silent, &flooders[i]);
		else if (strcmp(what, "prompts") == 0)
			ask(&flooders[i]);
		else
			die("usage: flood-bus calls|silent|reconnect|devices|prompts [N]");
	}
	if (strcmp(what, "reconnect") == 0)
		g_idle_add(reconnect, NULL);
	if (makers == 0)
		begin();
	g_main_loop_run(loop);
	printf("%s: %u calls, %u answered, %u of them refused, %u dialogs, %u devices\n", what,
	       sent, answered, refused, (guint)g_atomic_int_get((gint *)&prompted), made);
	return 0;
}
