/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A command that has the device open. For programs to which the node means nothing: in a container
 * that runs already, or as a user that may not open it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "bus.h"
#include "device-word.h"
#include "errors.h"
#include "verbs.h"

/* The first that no program has by itself, and the one that podman's --preserve-fds=1 hands on. */
#define DEFAULT_FD 3
#define MAX_FD     1000

#define ENVIRONMENT "UBLK_FD"

/* A duplicate of the descriptor that ublkd has opened, closed on exec; -1 with @error. */
static int open_device(Bus *bus, const Device *device, gboolean read_only, GError **error)
{
	GVariantBuilder options;

	g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
	if (read_only || device->read_only)
		g_variant_builder_add(&options, "{sv}", UBLK_OPT_READ_ONLY,
				      g_variant_new_boolean(TRUE));
	return device_get_descriptor(bus, device, "OpenBlockDevice", &options, error);
}

/* The command's words, each {} in them replaced. */
static char **make_command(char **words, int fd)
{
	g_autofree char *path = g_strdup_printf("/dev/fd/%d", fd);
	g_autoptr(GPtrArray) command = g_ptr_array_new();

	for (; *words; words++) {
		g_auto(GStrv) parts = g_strsplit(*words, "{}", -1);

		g_ptr_array_add(command, g_strjoinv(path, parts));
	}
	g_ptr_array_add(command, NULL);
	return (char **)g_ptr_array_free(g_steal_pointer(&command), FALSE);
}

/*
 * Before GLib has any descriptor: else one of its threads may be using the number when the device
 * is put there. What we have inherited as this number is replaced; our own output stays.
 */
static void reserve(int fd)
{
	int any;

	if (fd <= STDERR_FILENO && fcntl(fd, F_GETFD) >= 0)
		return;
	any = open("/", O_PATH | O_CLOEXEC);
	if (any >= 0 && any != fd) {
		dup3(any, fd, O_CLOEXEC);
		close(any);
	}
}

/* Returns only with @error. */
static void execute(char **words, int device_fd, int fd, const struct sigaction *pipe_action,
		    GError **error)
{
	g_auto(GStrv) command = make_command(words, fd);
	g_autofree char *number = g_strdup_printf("%d", fd);
	int err, before = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (dup2(device_fd, fd) < 0) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "descriptor %d: %s", fd,
			    g_strerror(errno));
		return;
	}
	close(device_fd);
	g_setenv(ENVIRONMENT, number, TRUE);
	sigaction(SIGPIPE, pipe_action, NULL);
	execvp(command[0], command);
	err = errno;
	/* What is said about it must not be written to the device. */
	if (before < 0 || dup2(before, fd) < 0)
		close(fd);
	g_set_error(error, CLIENT_ERROR, err == ENOENT ? EXIT_CODE_NOT_FOUND : EXIT_CODE_FAILURE,
		    "cannot run %s: %s", command[0], g_strerror(err));
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE, read_only = FALSE;
	int fd = DEFAULT_FD;
	const GOptionEntry entries[] = {
		{ "read-only", 'r', 0, G_OPTION_ARG_NONE, &read_only, "Open it for reading alone",
		  NULL },
		{ "fd", 0, 0, G_OPTION_ARG_INT, &fd, "The descriptor's number (default: 3)", "N" },
		VERBS_NO_ASK_PASSWORD(&ask_password),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = NULL;
	const Device *device;
	struct sigaction pipe_action;
	char **command;
	guint32 uid;
	int device_fd;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	command = argv + 2;
	if (strcmp(*command, "--") == 0)
		command++;
	if (!*command || fd < 0 || fd > MAX_FD) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    *command ? "--fd must be from 0 to %d"
				     : "there is no command behind the device",
			    MAX_FD);
		return EXIT_CODE_USAGE;
	}
	reserve(fd);
	/* GLib ignores it for us, and a command would inherit that. */
	sigaction(SIGPIPE, NULL, &pipe_action);
	bus = bus_connect(ask_password, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	devices = device_list(bus, error);
	device = devices ? device_word_find(devices, argv[1], uid, error) : NULL;
	if (!device)
		return EXIT_CODE_NOT_FOUND;
	device_fd = open_device(bus, device, read_only, error);
	if (device_fd >= 0)
		execute(command, device_fd, fd, &pipe_action, error);
	return EXIT_CODE_FAILURE;
}

const struct verb verb_open = {
	.name = "open",
	.arguments = "DEVICE -- COMMAND…",
	.min_words = 2,
	.max_words = -1,
	.summary = "Run a command that has the device open",
	.description =
		"The command has the device open as descriptor 3, also where it has no node of "
		"it or\n"
		"no right to it; UBLK_FD says the number. Each {} in the command becomes "
		"/dev/fd/3,\n"
		"for programs that want a path (to open that takes the owner's rights again).\n"
		"\n"
		"Examples:\n"
		"  ublk-client open work -- sh -c 'dd bs=1M <&3 > copy'\n"
		"  ublk-client open work -- podman exec --preserve-fds=1 CONTAINER sh -c 'dd <&3'",
	.run = run,
};
