/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"
#include "device.h"
#include "errors.h"
#include "make-options.h"
#include "verbs.h"

#include <stdio.h>

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE;
	const GOptionEntry common[] = {
		VERBS_NO_ASK_PASSWORD(&ask_password),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(MakeOptions) options = make_options_new();
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GVariant) reply = NULL;
	g_autofree char *node = NULL;
	const char *path;
	GVariant *dictionary;

	if (!verbs_parse_two(verb, make_options_get_entries(), common, options, &argc, &argv,
			     error) ||
	    !make_options_check(options, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(ask_password, error);
	if (!bus || !make_options_create_file(options, error))
		return EXIT_CODE_FAILURE;
	dictionary = make_options_build_add(options, fds, error);
	if (!dictionary)
		return EXIT_CODE_FAILURE;
	reply = bus_call(bus, UBLK_BUS_MANAGER_PATH, UBLK_BUS_MANAGER_INTERFACE, "AddDevice",
			 g_variant_new("(s@a{sv})", options->target, dictionary), "(o)", fds, NULL,
			 error);
	make_options_settle_file(options, reply ? NULL : *error);
	if (!reply)
		return EXIT_CODE_FAILURE;

	g_variant_get(reply, "(&o)", &path);
	node = device_get_node(path);
	printf("%s\n", node);
	return EXIT_CODE_SUCCESS;
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
		       "  ublk-client add -t loop -f new.img --create 10G\n"
		       "  ublk-client add -t loop -f /srv/debian.iso --read-only --name debian\n"
		       "  dev=$(ublk-client add -t null --size 10G -q 4 -d 64)",
	.creates = TRUE,
	.run = run,
};
