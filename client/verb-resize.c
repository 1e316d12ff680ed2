/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"
#include "device-word.h"
#include "errors.h"
#include "parse.h"
#include "verbs.h"

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE;
	const GOptionEntry entries[] = { VERBS_NO_ASK_PASSWORD(&ask_password), { NULL } };
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = NULL;
	const Device *device;
	guint32 uid;
	guint64 size;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error) ||
	    !parse_size(argv[2], G_MAXINT64, &size, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(ask_password, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	devices = device_list(bus, error);
	device = devices ? device_word_find(devices, argv[1], uid, error) : NULL;
	if (!device)
		return EXIT_CODE_NOT_FOUND;
	return bus_call_device(bus, device->path, "Resize",
			       g_variant_new("(t@a{sv})", size, bus_no_options()), NULL, error)
		       ? EXIT_CODE_SUCCESS
		       : EXIT_CODE_FAILURE;
}

const struct verb verb_resize = {
	.name = "resize",
	.arguments = "DEVICE SIZE",
	.min_words = 2,
	.max_words = 2,
	.summary = "Change the size of a device",
	.description =
		"The kernel must be able to (`ublk-client features`: update-size). The backing\n"
		"file is left as it is: make it larger before.\n"
		"\n"
		"Example:\n"
		"  truncate -s 20G disk.img && ublk-client resize 0 20G",
	.run = run,
};
