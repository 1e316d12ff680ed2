/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The block device of a device that another program has made (CreateDevice), with a server that is
 * somebody's own: for who writes one.
 */
#include <errno.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "bus.h"
#include "device-word.h"
#include "errors.h"
#include "make-options.h"
#include "parse.h"
#include "show.h"
#include "verbs.h"

/* Adds the process to @fds, by a descriptor: its number may be another's by the time ublkd looks.
 */
static gboolean add_server(const char *word, GUnixFDList *fds, GVariantBuilder *options,
			   GError **error)
{
	guint64 pid;
	int fd, index;

	if (!parse_number(word, G_MAXINT32, &pid, error)) {
		g_prefix_error(error, "--server: ");
		return FALSE;
	}
	fd = pidfd_open((pid_t)pid, 0);
	if (fd < 0) {
		g_set_error(error, CLIENT_ERROR,
			    errno == ESRCH ? EXIT_CODE_NOT_FOUND : EXIT_CODE_USAGE,
			    "--server: there is no process %s: %s", word, g_strerror(errno));
		return FALSE;
	}
	index = g_unix_fd_list_append(fds, fd, error);
	close(fd);
	if (index < 0)
		return FALSE;
	g_variant_builder_add(options, "{sv}", UBLK_OPT_SERVER, g_variant_new_handle(index));
	return TRUE;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE, json = FALSE;
	g_autofree char *server = NULL;
	const GOptionEntry own[] = {
		{ "server", 0, 0, G_OPTION_ARG_STRING, &server, "The process that serves it",
		  "PID" },
		VERBS_JSON(&json),
		VERBS_NO_ASK_PASSWORD(&ask_password),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(MakeOptions) parameters = make_options_new();
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GVariantBuilder) options = g_variant_builder_new(G_VARIANT_TYPE_VARDICT);
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = NULL;
	const Device *device;
	guint32 uid;

	if (!verbs_parse_two(verb, make_options_get_parameter_entries(), own, parameters, &argc,
			     &argv, error))
		return EXIT_CODE_USAGE;
	if (!server || !make_options_add_parameters(parameters, options)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "say which process serves it, and how large it is: --server PID "
			    "--size SIZE");
		return EXIT_CODE_USAGE;
	}
	if (!add_server(server, fds, options, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(ask_password, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	devices = device_list(bus, error);
	device = devices ? device_word_find(devices, argv[1], uid, error) : NULL;
	if (!device)
		return EXIT_CODE_NOT_FOUND;
	device_add_identity(device, options);
	if (!bus_call_device(bus, device->path, "Start", g_variant_new("(a{sv})", options), fds,
			     error) ||
	    !show_device(bus, device->path, json, error))
		return EXIT_CODE_FAILURE;
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_start = {
	.name = "start",
	.arguments = "DEVICE",
	.min_words = 1,
	.max_words = 1,
	.summary = "Make the block device of one that has a server of its own",
	.description =
		"For who writes a server: of a device that a program has made by CreateDevice, "
		"and\n"
		"stays on the bus for, when its server has fetched or is about to. `serve` does "
		"all\n"
		"of it with ublk-server.\n"
		"\n"
		"Example:\n"
		"  ublk-client start work --server $(pidof my-server) --size 1G",
	.run = run,
};
