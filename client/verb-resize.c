/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device's new size. Whether its backing file reaches so far only its owner can see: ublkd has no
 * right to it. docs/server.md ("Resizing") tells who does what.
 */
#include <string.h>

#include "backing-file.h"
#include "bus.h"
#include "device-word.h"
#include "errors.h"
#include "parse.h"
#include "show.h"
#include "verbs.h"

static gboolean refuse_grow_file(const Device *device, const char *why, GError **error)
{
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "--grow-file: %s %s",
		    device->block_device, why);
	return FALSE;
}

struct wish {
	guint64 size;    /* bytes */
	gboolean grow;   /* the backing file too */
	gboolean backed; /* the user says that the file is large enough */
};

/*
 * Does the backing file reach as far, or can it be made to? In *file the one that was made larger,
 * or NULL. Only the owner makes it larger: the path is theirs, and may lead anywhere by the time
 * somebody with more rights follows it.
 */
static gboolean prepare_file(Bus *bus, const Device *device, const struct wish *wish, guint32 uid,
			     BackingFile **file, GError **error)
{
	g_autoptr(BackingFile) backing = NULL;
	g_autofree char *path = NULL;
	guint64 has;

	if (wish->grow && strcmp(device->target, "loop") != 0)
		return refuse_grow_file(device, "has no backing file that ublkd knows", error);
	if (wish->grow && device->owner_uid != uid)
		return refuse_grow_file(device, "is somebody else's; only they may", error);
	/* What only gets smaller keeps what it has. */
	if (wish->size <= device->size || wish->backed || strcmp(device->target, "loop") != 0)
		return TRUE;
	path = device_get_backing_file(bus, device, error);
	if (!path)
		return FALSE;
	if (!*path) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "ublkd knows no path of the backing file of %s; see that it has "
			    "%" G_GUINT64_FORMAT " bytes (truncate -s) and say so with --backed",
			    device->block_device, wish->size);
		return FALSE;
	}
	backing = backing_file_new(path);
	if (!backing_file_get_size(backing, &has, error))
		return FALSE;
	if (has >= wish->size)
		return TRUE;
	if (!wish->grow) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "the backing file, %s, has %" G_GUINT64_FORMAT
			    " bytes, and the device would have %" G_GUINT64_FORMAT
			    "; with --grow-file it is made larger too",
			    path, has, wish->size);
		return FALSE;
	}
	/* Who cannot resize the device has no use for a larger file: ublkd says why. */
	if (!g_strv_contains((const char *const *)device->flag_names, "update-size"))
		return TRUE;
	if (!backing_file_grow(backing, wish->size, error))
		return FALSE;
	*file = g_steal_pointer(&backing);
	return TRUE;
}

static gboolean resize(Bus *bus, const Device *device, guint64 size, GError **error)
{
	GVariantBuilder options;

	g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
	device_add_identity(device, &options);
	/* It is, by now: looked at, made so, or the user's word. */
	if (size > device->size)
		g_variant_builder_add(&options, "{sv}", UBLK_OPT_BACKED,
				      g_variant_new_boolean(TRUE));
	return bus_call_device(bus, device->path, "Resize",
			       g_variant_new("(ta{sv})", size, &options), NULL, error);
}

/* Somebody else's resize may have succeeded meanwhile. TRUE also where that cannot be learned. */
static gboolean may_be_larger(Bus *bus, const Device *device, guint64 size)
{
	g_autoptr(Device) present = device_get(bus, device->path, NULL);

	return !present || present->size > size;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE, json = FALSE;
	struct wish wish = { 0 };
	const GOptionEntry entries[] = {
		{ "grow-file", 0, 0, G_OPTION_ARG_NONE, &wish.grow,
		  "Make the backing file larger too, if it is too small", NULL },
		{ "backed", 0, 0, G_OPTION_ARG_NONE, &wish.backed,
		  "The backing file is large enough: do not look", NULL },
		VERBS_JSON(&json),
		VERBS_NO_ASK_PASSWORD(&ask_password),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = NULL;
	g_autoptr(BackingFile) file = NULL;
	const Device *device;
	guint32 uid;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error) ||
	    !parse_size(argv[2], G_MAXINT64, &wish.size, error))
		return EXIT_CODE_USAGE;
	if (wish.grow && wish.backed) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--grow-file and --backed exclude each other");
		return EXIT_CODE_USAGE;
	}
	bus = bus_connect(ask_password, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	devices = device_list(bus, error);
	device = devices ? device_word_find(devices, argv[1], uid, error) : NULL;
	if (!device)
		return EXIT_CODE_NOT_FOUND;
	if (!prepare_file(bus, device, &wish, uid, &file, error))
		return EXIT_CODE_FAILURE;
	if (resize(bus, device, wish.size, error))
		return !json || show_device(bus, device->path, TRUE, error) ? EXIT_CODE_SUCCESS
									    : EXIT_CODE_FAILURE;
	/* After a timeout nobody knows whether the device is larger now: then the file stays so. */
	if (file && errors_get_exit_code(*error) != EXIT_CODE_TIMEOUT &&
	    !may_be_larger(bus, device, file->before))
		backing_file_shrink_back(file);
	return EXIT_CODE_FAILURE;
}

const struct verb verb_resize = {
	.name = "resize",
	.arguments = "DEVICE SIZE",
	.min_words = 2,
	.max_words = 2,
	.summary = "Change the size of a device",
	.description =
		"The device may be in use. The kernel must be able to (`ublk-client features`:\n"
		"update-size). A device is not made larger than its backing file, unless\n"
		"--grow-file makes that larger too. A smaller device leaves the file as it is; "
		"make\n"
		"what is on the device smaller before (resize2fs, lvreduce), or its end is lost "
		"to\n"
		"it.\n"
		"\n"
		"Example:\n"
		"  ublk-client resize --grow-file work 20G && resize2fs "
		"/dev/disk/by-ublk/1000-work",
	.run = run,
};
