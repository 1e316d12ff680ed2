/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file by which container engines know devices by name. A name that led to the wrong device
 * would be worse than none: with --watch the file follows what ublkd says, and goes when we go.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus.h"
#include "cdi-spec.h"
#include "errors.h"
#include "output.h"
#include "verbs.h"
#include "watch.h"

/* Where engines look for what does not outlive a boot. */
#define SYSTEM_FOLDER "/run/cdi"

struct writing {
	guint32 uid;
	gboolean everybody;
	char *path;
	char *text; /* what is in the file, NULL: there is none */
	/* While it follows: */
	Watch *watch;
	guint update; /* source */
	gboolean begun;
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

/* Make the file what there is. */
static gboolean update(struct writing *writing, GPtrArray *devices, gboolean first, GError **error)
{
	g_autofree char *text = cdi_spec_print(devices, writing->uid, writing->everybody);

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
	g_autoptr(GPtrArray) devices = watch_get_devices(writing->watch);
	gboolean first = !writing->begun;
	GError *error = NULL;

	writing->update = 0;
	writing->begun = TRUE;
	if (!update(writing, devices, first, &error)) {
		watch_end(writing->watch, error);
	} else if (first) {
		printf("%s\n", writing->path);
		fflush(stdout);
		deadline_clear();
	}
	return G_SOURCE_REMOVE;
}

/* Devices come and go in bunches: what has arrived by now is one update. */
static void update_soon(struct writing *writing)
{
	if (!writing->update)
		writing->update = g_idle_add(on_update, writing);
}

static void on_ready(gboolean first, gpointer data)
{
	update_soon(data);
}

static void on_added(const Device *device, gboolean first, gpointer data)
{
	if (!first)
		update_soon(data);
}

static void on_changed(const Device *before, const Device *device, gpointer data)
{
	update_soon(data);
}

static void on_removed(const Device *device, gpointer data)
{
	update_soon(data);
}

static void follow(Bus *bus, struct writing *writing, GError **error)
{
	static const struct watch_handlers handlers = {
		.added = on_added,
		.changed = on_changed,
		.removed = on_removed,
		.ready = on_ready,
	};
	g_autoptr(Watch) watch = watch_new(bus, &handlers, writing);

	writing->watch = watch;
	watch_run(watch, TRUE, error);
	g_clear_handle_id(&writing->update, g_source_remove);
	/* nobody keeps it right any more */
	write_text(writing, NULL, *error ? NULL : error);
}

static void write_once(Bus *bus, struct writing *writing, GError **error)
{
	g_autoptr(GPtrArray) devices = device_list(bus, error);

	if (devices && update(writing, devices, TRUE, error))
		printf("%s\n", writing->path);
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
		DEADLINE_OPTION,
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
	writing.everybody = all || writing.uid == 0;
	path = make_path(argc > 1 ? argv[1] : NULL, writing.everybody && writing.uid == 0, error);
	if (!path)
		return EXIT_CODE_FAILURE;
	writing.path = path;
	if (watching)
		follow(bus, &writing, error);
	else
		write_once(bus, &writing, error);
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
