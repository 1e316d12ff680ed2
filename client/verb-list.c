/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "bus.h"
#include "device.h"
#include "errors.h"
#include "output.h"
#include "verbs.h"

/* Leave those of @uid. */
static void remove_others(GPtrArray *devices, guint32 uid)
{
	for (guint i = devices->len; i > 0; i--) {
		const Device *device = devices->pdata[i - 1];

		if (device->owner_uid != uid)
			g_ptr_array_remove_index(devices, i - 1);
	}
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean all = FALSE, json = FALSE, bytes = FALSE;
	const GOptionEntry entries[] = {
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &all,
		  "Everybody's devices (root's default), not just one's own", NULL },
		{ "bytes", 'b', 0, G_OPTION_ARG_NONE, &bytes,
		  "Sizes as plain numbers (the default when the output is no terminal)", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json, "JSON instead of a table", NULL },
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = NULL;
	guint32 uid;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(FALSE, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	devices = device_list(bus, error);
	if (!devices)
		return EXIT_CODE_FAILURE;
	if (!all && uid != 0)
		remove_others(devices, uid);
	if (json)
		output_print_json(stdout, devices, NULL);
	else
		output_print_table(stdout, devices, bytes || !isatty(STDOUT_FILENO));
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_list = {
	.name = "list",
	.summary = "Show the devices",
	.description = "Examples:\n"
		       "  ublk-client list\n"
		       "  ublk-client list --all --json | jq -r '.devices[].block_device'",
	.run = run,
};
