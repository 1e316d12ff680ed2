/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file by which container engines know devices by name. A name that led to the wrong device
 * would be worse than none: with --watch the file follows what ublkd says, and goes when we go.
 */
#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus.h"
#include "cdi-spec.h"
#include "errors.h"
#include "output.h"
#include "verbs.h"

/* Where engines look for what does not outlive a boot. */
#define SYSTEM_FOLDER "/run/cdi"

struct writing {
	Bus *bus;
	guint32 uid;
	gboolean everybody;
	char *path;
	char *text; /* what is in the file, NULL: there is none */
	GMainLoop *loop;
	guint update;  /* source */
	GError *error; /* why it ended */
};

static gboolean set_error(const struct writing *writing, GError **error)
{
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "cannot write %s: %s", writing->path,
		    g_strerror(errno));
	return FALSE;
}

static gboolean write_text(struct writing *writing, const char *text, GError **error)
{
	g_autoptr(GError) cause = NULL;

	if (!text)
		return g_unlink(writing->path) == 0 || errno == ENOENT || set_error(writing, error);
	/* a new file in the old one's place: whoever reads has one or the other */
	if (g_file_set_contents_full(writing->path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644,
				     &cause))
		return TRUE;
	g_set_error_literal(error, CLIENT_ERROR, EXIT_CODE_FAILURE, cause->message);
	return FALSE;
}

/* Make the file what ublkd says now. */
static gboolean update(struct writing *writing, gboolean first, GError **error)
{
	g_autoptr(GPtrArray) devices = device_list(writing->bus, error);
	g_autofree char *text = NULL;

	if (!devices)
		return FALSE;
	text = cdi_spec_print(devices, writing->uid, writing->everybody);
	if (!first && g_strcmp0(text, writing->text) == 0)
		return TRUE;
	if (!write_text(writing, text, error))
		return FALSE;
	g_free(writing->text);
	writing->text = g_steal_pointer(&text);
	return TRUE;
}

static gboolean on_update(gpointer data)
{
	struct writing *writing = data;

	writing->update = 0;
	if (!update(writing, FALSE, &writing->error))
		g_main_loop_quit(writing->loop);
	return G_SOURCE_REMOVE;
}

/* Devices come and go in bunches: what has arrived by now is one update. */
static void update_soon(struct writing *writing)
{
	if (!writing->update)
		writing->update = g_idle_add(on_update, writing);
}

static void on_signal(GDBusConnection *connection, const char *sender, const char *path,
		      const char *interface, const char *signal, GVariant *parameters,
		      gpointer data)
{
	update_soon(data);
}

/* ublkd is back. While it is not there, nothing is asked, which would start it. */
static void on_appeared(GDBusConnection *connection, const char *name, const char *owner,
			gpointer data)
{
	update_soon(data);
}

/* What the file says would be wrong from now on. */
static void on_closed(GDBusConnection *connection, gboolean by_bus, GError *cause, gpointer data)
{
	struct writing *writing = data;

	if (!writing->error)
		g_set_error(&writing->error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			    "the connection to the system bus has ended");
	g_main_loop_quit(writing->loop);
}

static gboolean on_end(gpointer data)
{
	g_main_loop_quit(((struct writing *)data)->loop);
	return G_SOURCE_CONTINUE;
}

static void watch(struct writing *writing, GError **error)
{
	GDBusConnection *connection = writing->bus->connection;
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	guint sources[G_N_ELEMENTS(signals)];
	guint subscription, name;
	gulong closed;

	writing->loop = g_main_loop_new(NULL, FALSE);
	for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
		sources[i] = g_unix_signal_add(signals[i], on_end, writing);
	closed = g_signal_connect(connection, "closed", G_CALLBACK(on_closed), writing);
	/* all that it says: devices that come and go, and the states of those that are there */
	subscription = g_dbus_connection_signal_subscribe(connection, UBLK_BUS_NAME, NULL, NULL,
							  NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE,
							  on_signal, writing, NULL);
	name = g_bus_watch_name_on_connection(connection, UBLK_BUS_NAME,
					      G_BUS_NAME_WATCHER_FLAGS_NONE, on_appeared, NULL,
					      writing, NULL);
	/* after the subscription: nothing is missed in between */
	if (update(writing, TRUE, error)) {
		printf("%s\n", writing->path);
		fflush(stdout);
		g_main_loop_run(writing->loop);
	}
	g_signal_handler_disconnect(connection, closed);
	g_bus_unwatch_name(name);
	g_dbus_connection_signal_unsubscribe(connection, subscription);
	g_clear_handle_id(&writing->update, g_source_remove);
	for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
		g_source_remove(sources[i]);
	g_main_loop_unref(writing->loop);
	if (writing->error)
		g_propagate_error(error, writing->error);
	/* nobody keeps it right any more */
	write_text(writing, NULL, *error ? NULL : error);
}

static char *make_path(const char *folder, gboolean everybody, GError **error)
{
	g_autofree char *own = g_build_filename(g_get_user_runtime_dir(), "cdi", NULL);

	if (!folder) {
		folder = everybody ? SYSTEM_FOLDER : own;
		if (g_mkdir_with_parents(folder, 0755) < 0) {
			g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
				    "cannot make the folder %s: %s", folder, g_strerror(errno));
			return NULL;
		}
	}
	return g_build_filename(folder, CDI_SPEC_FILE, NULL);
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean watching = FALSE, all = FALSE;
	const GOptionEntry entries[] = {
		{ "watch", 'w', 0, G_OPTION_ARG_NONE, &watching,
		  "Follow the devices' life, until interrupted; then remove the file", NULL },
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &all,
		  "Everybody's devices (root's default), as UID-NAME", NULL },
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autofree char *path = NULL;
	struct writing writing = { 0 };

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(FALSE, error);
	if (!bus || !bus_get_uid(bus, &writing.uid, error))
		return EXIT_CODE_FAILURE;
	writing.bus = bus;
	writing.everybody = all || writing.uid == 0;
	path = make_path(argc > 1 ? argv[1] : NULL, writing.everybody && writing.uid == 0, error);
	if (!path)
		return EXIT_CODE_FAILURE;
	writing.path = path;
	if (watching)
		watch(&writing, error);
	else if (update(&writing, TRUE, error))
		printf("%s\n", path);
	g_free(writing.text);
	return *error ? EXIT_CODE_FAILURE : EXIT_CODE_SUCCESS;
}

const struct verb verb_cdi = {
	.name = "cdi",
	.arguments = "[DIRECTORY]",
	.max_words = 1,
	.summary = "Write a CDI specification, for `podman --device org.ublk/disk=NAME`",
	.description =
		"Into DIRECTORY, or $XDG_RUNTIME_DIR/cdi, or as root /run/cdi. A user's file has "
		"the\n"
		"user's devices by their names; root's has everybody's, as UID-NAME. Podman reads "
		"a\n"
		"user's directory if containers.conf names it (cdi_spec_dirs, podman 5.5), and "
		"before\n"
		"that only root's: there the service ublk-cdi keeps it.\n"
		"\n"
		"Examples:\n"
		"  ublk-client cdi --watch &\n"
		"  podman run --device org.ublk/disk=work IMAGE …\n"
		"  systemctl enable --now ublk-cdi\n"
		"  podman run --device org.ublk/disk=1000-work IMAGE …",
	.run = run,
};
