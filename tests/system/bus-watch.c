/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-watch [--until REGEX] [--timeout S]
 *
 * Prints "ready", then every signal that ublkd sends, one a line: "PATH INTERFACE.SIGNAL
 * PARAMETERS"; "gone" and "there" when its name leaves the bus or is taken. Ends with 0 after the
 * first line that matches REGEX, with 1 when the time is over before (a test's way to wait for an
 * event).
 */
#include <stdio.h>
#include <stdlib.h>

#include <gio/gio.h>

static _Noreturn void G_GNUC_PRINTF(1, 2) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bus-watch: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static gchar *until_text;
static gint timeout_s = 60;
static GRegex *until;

static const GOptionEntry entries[] = {
	{ "until", 0, 0, G_OPTION_ARG_STRING, &until_text, NULL, "REGEX" },
	{ "timeout", 0, 0, G_OPTION_ARG_INT, &timeout_s, NULL, "S" },
	{ NULL },
};

static void say(const gchar *line)
{
	puts(line);
	fflush(stdout);
	if (until && g_regex_match(until, line, 0, NULL))
		exit(0);
}

static void on_signal(GDBusConnection *bus, const gchar *sender, const gchar *path,
		      const gchar *interface, const gchar *signal, GVariant *parameters,
		      gpointer data)
{
	g_autofree gchar *text = NULL;
	g_autofree gchar *line = NULL;

	if (!g_str_has_prefix(path, "/org/ublk1"))
		return;
	text = g_variant_print(parameters, TRUE);
	line = g_strdup_printf("%s %s.%s %s", path, interface, signal, text);

	say(line);
}

static void on_owner(GDBusConnection *bus, const gchar *sender, const gchar *path,
		     const gchar *interface, const gchar *signal, GVariant *parameters,
		     gpointer data)
{
	const gchar *owner;

	g_variant_get_child(parameters, 2, "&s", &owner);
	say(owner[0] ? "there" : "gone");
}

static gboolean on_timeout(gpointer data)
{
	fprintf(stderr, "bus-watch: %d s are over\n", timeout_s);
	exit(1);
}

int main(int argc, char **argv)
{
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusConnection) bus = NULL;
	g_autoptr(GVariant) match = NULL;
	g_autoptr(GVariant) id = NULL;
	g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error))
		die("%s", error->message);
	if (until_text && !(until = g_regex_new(until_text, 0, 0, &error)))
		die("%s", error->message);
	bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (!bus)
		die("%s", error->message);
	/* By path, not by sender: ublkd may not be there yet. */
	match = g_dbus_connection_call_sync(
		bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
		"AddMatch", g_variant_new("(s)", "type='signal',path_namespace='/org/ublk1'"), NULL,
		G_DBUS_CALL_FLAGS_NONE, 10000, NULL, &error);
	if (!match)
		die("%s", error->message);
	g_dbus_connection_signal_subscribe(bus, NULL, NULL, NULL, NULL, NULL,
					   G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_signal, NULL,
					   NULL);
	g_dbus_connection_signal_subscribe(bus, "org.freedesktop.DBus", "org.freedesktop.DBus",
					   "NameOwnerChanged", "/org/freedesktop/DBus", "org.ublk1",
					   G_DBUS_SIGNAL_FLAGS_NONE, on_owner, NULL, NULL);
	/* The bus handles one connection's messages in order: after this answer the matches are
	 * set. */
	id = g_dbus_connection_call_sync(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
					 "org.freedesktop.DBus", "GetId", NULL, NULL,
					 G_DBUS_CALL_FLAGS_NONE, 10000, NULL, &error);
	if (!id)
		die("%s", error->message);
	say("ready");
	g_timeout_add_seconds((guint)timeout_s, on_timeout, NULL);
	g_main_loop_run(loop);
	return 0;
}
