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
	gboolean all = FALSE, json = FALSE, bytes = FALSE, quiet = FALSE;
	struct terminal terminal = terminal_get(STDOUT_FILENO);
	const GOptionEntry entries[] = {
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &all,
		  "Everybody's devices (root's default), not just one's own", NULL },
		{ "bytes", 'b', 0, G_OPTION_ARG_NONE, &bytes,
		  "Sizes as plain numbers (the default when the output is no terminal)", NULL },
		VERBS_JSON(&json),
		VERBS_QUIET(&quiet),
		DEADLINE_OPTION,
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
	else if (quiet)
		output_print_paths(stdout, devices);
	else
		output_print_table(stdout, devices, bytes || !terminal.present, &terminal);
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_list = {
	.name = "list",
	.summary = "Show the devices",
	.description = "AGE is the time since it was made. A narrow terminal gets fewer columns.\n"
		       "\n"
		       "Examples:\n"
		       "  ublk-client list\n"
		       "  ublk-client list -q | xargs -n1 ublk-client info\n"
		       "  ublk-client list --all --json | jq -r '.devices[].block_device'",
	.run = run,
};
