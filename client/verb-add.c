/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"
#include "device.h"
#include "errors.h"
#include "kept.h"
#include "make-options.h"
#include "show.h"
#include "verbs.h"

#include <stdio.h>

/* It is not what was wanted: nobody hears of it. */
static void take_back(Bus *bus, const char *path, GError **error)
{
	g_autoptr(Device) device = NULL;
	g_autoptr(GError) failure = NULL;

	deadline_extend();
	device = device_get(bus, path, &failure);
	if (device ? device_delete(bus, device, &failure) :
		     errors_get_exit_code(failure) == EXIT_CODE_NOT_FOUND)
		return;
	g_dbus_error_strip_remote_error(failure);
	g_prefix_error(error, "%s stays (%s), delete it: ", path, failure->message);
}

/* The object path of the new device, or NULL. */
static char *make_device(Bus *bus, MakeOptions *options, GError **error)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GVariant) reply = NULL;
	GVariant *dictionary;
	char *path;

	if (!make_options_create_file(options, error))
		return NULL;
	dictionary = make_options_build_add(options, fds, error);
	if (!dictionary)
		return NULL;
	reply = bus_call(bus, UBLK_BUS_MANAGER_PATH, UBLK_BUS_MANAGER_INTERFACE, "AddDevice",
			 g_variant_new("(s@a{sv})", options->target, dictionary), "(o)", fds, NULL,
			 error);
	if (!reply) {
		make_options_settle_file(options, *error, NULL);
		return NULL;
	}
	g_variant_get(reply, "(o)", &path);
	if (!make_options_settle_file(options, NULL, error)) {
		take_back(bus, path, error);
		g_free(path);
		return NULL;
	}
	return path;
}

/* The kept device may be there still: since the last login, for instance. */
static char *find_present(Bus *bus, const char *name)
{
	g_autoptr(GPtrArray) devices = device_list(bus, NULL);
	guint32 uid;

	for (guint i = 0; devices && bus_get_uid(bus, &uid, NULL) && i < devices->len; i++) {
		const Device *device = devices->pdata[i];

		if (device->owner_uid == uid && g_str_equal(device->name, name) &&
		    g_str_equal(device->state, UBLK_STATE_LIVE))
			return g_strdup(device->path);
	}
	return NULL;
}

/* What --keep and --kept want of the other options; the kept ones are read. */
static gboolean prepare(const struct verb *verb, MakeOptions *options, gboolean keep,
			const char *kept, GError **error)
{
	if (kept && (keep || !make_options_is_empty(options))) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--kept: the other options are those that were kept; no more can be "
			    "given");
		return FALSE;
	}
	if (keep && !make_options_get_name(options)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--keep needs --name NAME, by which the device comes back");
		return FALSE;
	}
	return !kept || kept_read(verb, kept, options, error);
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE, keep = FALSE, json = FALSE;
	g_autofree char *kept = NULL;
	const GOptionEntry common[] = {
		{ "keep", 0, 0, G_OPTION_ARG_NONE, &keep,
		  "Have it come back, at each login; root's: at each boot", NULL },
		{ "kept", 0, 0, G_OPTION_ARG_STRING, &kept,
		  "Make the device that was kept as NAME, unless it is there", "NAME" },
		VERBS_JSON(&json),
		VERBS_NO_ASK_PASSWORD(&ask_password),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(MakeOptions) options = make_options_new();
	g_autoptr(Bus) bus = NULL;
	g_autofree char *path = NULL;

	if (!verbs_parse_two(verb, make_options_get_entries(), common, options, &argc, &argv,
			     error) ||
	    !prepare(verb, options, keep, kept, error) || !make_options_check(options, error) ||
	    (keep && !kept_check(make_options_get_name(options), options, error)))
		return EXIT_CODE_USAGE;
	bus = bus_connect(ask_password, error);
	if (!bus)
		return EXIT_CODE_FAILURE;
	path = kept ? find_present(bus, kept) : NULL;
	if (!path)
		path = make_device(bus, options, error);
	if (!path)
		return EXIT_CODE_FAILURE;
	/* Not before: what ends us while we wait must leave nothing behind. */
	if (keep && !kept_write(make_options_get_name(options), options, error)) {
		g_autofree char *node = device_get_node(path);

		g_prefix_error(error, "%s is there, but will not come back: ", node);
		return EXIT_CODE_FAILURE;
	}
	return show_device(bus, path, json, error) ? EXIT_CODE_SUCCESS : EXIT_CODE_FAILURE;
}

const struct verb verb_add = {
	.name = "add",
	.summary = "Make a device and have the system serve it",
	.description = "SIZE is a number of bytes, or digits and K, M, G, T or P (powers of 1024: "
		       "512K, 10G).\n"
		       "What is printed is the device's path, when it can be used.\n"
		       "\n"
		       "Examples:\n"
		       "  ublk-client add -t loop -f disk.img\n"
		       "  ublk-client add -t loop -f new.img --create 10G --name work --keep\n"
		       "  ublk-client add -t loop -f /srv/debian.iso --read-only --name debian\n"
		       "  dev=$(ublk-client add -t null --size 10G -q 4 -d 64)",
	.creates = TRUE,
	.run = run,
};
