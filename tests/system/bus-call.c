/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-call [OPTION…] OBJECT METHOD [PARAMETERS]
 * bus-call [OPTION…] --script < LINES
 *
 * Calls ublkd with exactly the message that is asked for: PARAMETERS is a tuple in GVariant's text
 * form and is sent as it stands, also where no well-behaved program would (duplicated keys, a
 * descriptor index without a descriptor). busctl and gdbus refuse to send such messages.
 *
 * OBJECT is "Manager", a device number, "Root" (the object manager), or a path; METHOD is one of
 * that object's interface, or INTERFACE.METHOD. "-" for PARAMETERS: from standard input.
 *
 *   --fd N         pass the open descriptor N (index 0, the next one 1, …); may be repeated
 *   --timeout S    give up after S seconds (60)
 *   --interactive  with the flag ALLOW_INTERACTIVE_AUTHORIZATION
 *   --hold         say the reply, then stay on the bus, with what was received, until stdin ends
 *   --exec CMD     run CMD by the shell with the first descriptor of the reply as descriptor 9
 *   --script       one call for each line "OBJECT METHOD PARAMETERS", all on one connection; an
 * empty line stands for itself
 *
 * Prints "ok REPLY" or "error NAME MESSAGE", one line for each call. Exits with 0 if the (last)
 * call succeeded, 1 if it was refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>

static _Noreturn void G_GNUC_PRINTF(1, 2) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bus-call: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static gint timeout_s = 60;
static gboolean interactive, hold, script;
static gchar *exec_command;
static gchar **fd_words;

static const GOptionEntry entries[] = {
	{ "fd", 0, 0, G_OPTION_ARG_STRING_ARRAY, &fd_words, NULL, "N" },
	{ "timeout", 0, 0, G_OPTION_ARG_INT, &timeout_s, NULL, "S" },
	{ "interactive", 0, 0, G_OPTION_ARG_NONE, &interactive, NULL, NULL },
	{ "hold", 0, 0, G_OPTION_ARG_NONE, &hold, NULL, NULL },
	{ "exec", 0, 0, G_OPTION_ARG_STRING, &exec_command, NULL, "CMD" },
	{ "script", 0, 0, G_OPTION_ARG_NONE, &script, NULL, NULL },
	{ NULL },
};

static gchar *read_stdin(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	char buf[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
		g_string_append_len(text, buf, n);
	return g_string_free(g_steal_pointer(&text), FALSE);
}

static GDBusMessage *make_message(const gchar *object, const gchar *method, const gchar *parameters,
				  GUnixFDList *fds, GError **error)
{
	g_autofree gchar *path = NULL;
	g_autofree gchar *interface = NULL;
	const gchar *dot = strrchr(method, '.');
	GDBusMessage *message;
	GVariant *body;

	if (strcmp(object, "Manager") == 0) {
		path = g_strdup("/org/ublk1/Manager");
		interface = g_strdup("org.ublk1.Manager");
	} else if (strcmp(object, "Root") == 0) {
		path = g_strdup("/org/ublk1");
		interface = g_strdup("org.freedesktop.DBus.ObjectManager");
	} else if (g_ascii_isdigit(object[0])) {
		path = g_strdup_printf("/org/ublk1/devices/%s", object);
		interface = g_strdup("org.ublk1.Device");
	} else {
		path = g_strdup(object);
	}
	if (dot) {
		g_free(interface);
		interface = g_strndup(method, (gsize)(dot - method));
		method = dot + 1;
	}
	if (!g_variant_is_object_path(path) || !g_dbus_is_member_name(method) ||
	    (interface && !g_dbus_is_interface_name(interface))) {
		g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
			    "no message can be sent to \"%s\" %s", object, method);
		return NULL;
	}
	body = g_variant_parse(NULL, parameters, NULL, NULL, error);
	if (!body)
		return NULL;
	message = g_dbus_message_new_method_call("org.ublk1", path, interface, method);
	g_dbus_message_set_body(message, body);
	if (fds && g_unix_fd_list_get_length(fds) > 0)
		g_dbus_message_set_unix_fd_list(message, fds);
	if (interactive)
		g_dbus_message_set_flags(message,
					 G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION);
	return message;
}

/* A message has no line breaks here, whatever the daemon wrote. */
static void print_line(const char *kind, const gchar *name, const gchar *text)
{
	g_autofree gchar *line = g_strdup(text);

	printf("%s%s%s %s\n", kind, name ? " " : "", name ? name : "",
	       g_strdelimit(line, "\n\r", ' '));
	fflush(stdout);
}

static gboolean call(GDBusConnection *bus, GDBusMessage *message, GUnixFDList **fds_out)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusMessage) reply = NULL;

	reply = g_dbus_connection_send_message_with_reply_sync(
		bus, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, timeout_s * 1000, NULL, NULL, &error);
	if (reply && !g_dbus_message_to_gerror(reply, &error)) {
		GVariant *body = g_dbus_message_get_body(reply);
		g_autofree gchar *text = body ? g_variant_print(body, TRUE) : g_strdup("()");
		GUnixFDList *fds = g_dbus_message_get_unix_fd_list(reply);

		print_line("ok", NULL, text);
		if (fds_out && fds)
			*fds_out = g_object_ref(fds);
		return TRUE;
	}
	{
		g_autofree gchar *name = g_dbus_error_get_remote_error(error);

		g_dbus_error_strip_remote_error(error);
		print_line("error", name ? name : g_quark_to_string(error->domain), error->message);
	}
	return FALSE;
}

static int run_script(GDBusConnection *bus, GUnixFDList *fds)
{
	g_autofree gchar *text = read_stdin();
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	gboolean ok = FALSE;

	for (guint i = 0; lines[i]; i++) {
		g_auto(GStrv) words = g_strsplit(g_strstrip(lines[i]), " ", 3);
		g_autoptr(GError) error = NULL;
		g_autoptr(GDBusMessage) message = NULL;

		if (g_strv_length(words) < 2) {
			if (lines[i + 1])
				puts("");
			continue;
		}
		message = make_message(words[0], words[1], words[2] ? words[2] : "()", fds, &error);
		if (!message)
			die("%s: %s", lines[i], error->message);
		ok = call(bus, message, NULL);
	}
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	g_autoptr(GOptionContext) context = g_option_context_new("OBJECT METHOD [PARAMETERS]");
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusConnection) bus = NULL;
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GUnixFDList) received = NULL;
	g_autoptr(GDBusMessage) message = NULL;
	g_autofree gchar *text = NULL;
	gboolean ok;

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error))
		die("%s", error->message);
	for (guint i = 0; fd_words && fd_words[i]; i++)
		if (g_unix_fd_list_append(fds, atoi(fd_words[i]), &error) < 0)
			die("--fd %s: %s", fd_words[i], error->message);
	bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (!bus)
		die("%s", error->message);
	if (script)
		return run_script(bus, fds);
	if (argc < 3)
		die("usage: bus-call [OPTION…] OBJECT METHOD [PARAMETERS]");

	text = argc > 3 && strcmp(argv[3], "-") == 0 ? read_stdin()
						     : g_strdup(argc > 3 ? argv[3] : "()");
	message = make_message(argv[1], argv[2], text, fds, &error);
	if (!message)
		die("%s", error->message);
	ok = call(bus, message, &received);
	if (ok && exec_command) {
		int fd = received ? g_unix_fd_list_get(received, 0, &error) : -1;

		/* not by dup2() onto itself, which would leave it closed on exec */
		if (fd == 9)
			fd = dup(fd);
		if (fd < 0 || dup2(fd, 9) < 0)
			die("no descriptor in the reply");
		return system(exec_command) == 0 ? 0 : 1;
	}
	if (ok && hold) {
		g_autofree gchar *rest = read_stdin();

		g_clear_pointer(&rest, g_free);
	}
	return ok ? 0 : 1;
}
