/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bus.h"
#include "device-word.h"
#include "ended.h"
#include "errors.h"
#include "output.h"
#include "show.h"
#include "verbs.h"

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean json = FALSE, quiet = FALSE;
	const GOptionEntry entries[] = {
		VERBS_JSON(&json),
		VERBS_QUIET(&quiet),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = NULL, chosen = g_ptr_array_new();
	guint32 uid;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	/* Just to show a path, nobody is asked for a password. */
	bus = bus_connect(FALSE, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	devices = device_list(bus, error);
	if (!devices)
		return EXIT_CODE_FAILURE;
	for (int i = 1; i < argc; i++) {
		Device *device = device_word_find(devices, argv[i], uid, error);

		if (!device) {
			ended_explain(bus, argv[i], uid, error);
			return EXIT_CODE_NOT_FOUND;
		}
		g_ptr_array_add(chosen, device);
	}
	if (quiet && !json) {
		output_print_paths(stdout, chosen);
		return EXIT_CODE_SUCCESS;
	}
	if (json) {
		show_devices(bus, chosen);
		return EXIT_CODE_SUCCESS;
	}
	for (guint i = 0; i < chosen->len; i++) {
		/* A failure is no reason not to show the rest. */
		g_autofree char *backing_file =
			device_get_backing_file(bus, chosen->pdata[i], NULL);

		if (i > 0)
			fputc('\n', stdout);
		output_print_device(stdout, chosen->pdata[i], backing_file);
	}
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_info = {
	.name = "info",
	.arguments = "DEVICE…",
	.min_words = 1,
	.max_words = -1,
	.summary = "Show everything about a device",
	.description =
		"The backing file is shown to the device's owner and to administrators. Of a\n"
		"device of one's own that went away by itself lately, it says why.\n"
		"\n"
		"Examples:\n"
		"  ublk-client info 0\n"
		"  mkfs.ext4 $(ublk-client info -q work)\n"
		"  ublk-client info --json /dev/ublkb0",
	.run = run,
};
