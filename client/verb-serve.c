/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device whose server is our child, for as long as we run. It needs nothing of the system but the
 * bus, so that it works in a container too: the character device comes as a descriptor from ublkd.
 */
#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus.h"
#include "device.h"
#include "errors.h"
#include "make-options.h"
#include "server-process.h"
#include "show.h"
#include "signals.h"
#include "verbs.h"

/* How long a server may take to see that its device was deleted. */
#define SERVER_PATIENCE_MS 5000

struct serving {
	GMainLoop *loop;
	ServerProcess *process;
	guint sources[G_N_ELEMENTS(signals_fatal)];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define autofd __attribute__((cleanup(close_fd))) int

/* The new device's object path and an O_PATH descriptor of its character device. */
static char *create_device(Bus *bus, const MakeOptions *options, int *char_fd, GError **error)
{
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GVariant) reply =
		bus_call(bus, UBLK_BUS_MANAGER_PATH, UBLK_BUS_MANAGER_INTERFACE, "CreateDevice",
			 g_variant_new("(@a{sv})", make_options_build_create(options)), "(oh)",
			 NULL, &fds, error);
	char *path;
	gint32 index;

	if (!reply)
		return NULL;
	g_variant_get(reply, "(&oh)", &path, &index);
	*char_fd = bus_get_descriptor(fds, index, error);
	return *char_fd < 0 ? NULL : g_strdup(path);
}

static void add_argument(GPtrArray *argv, const char *name, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

static void add_argument(GPtrArray *argv, const char *name, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	g_ptr_array_add(argv, g_strdup(name));
	g_ptr_array_add(argv, g_strdup_vprintf(format, arguments));
	va_end(arguments);
}

static GPtrArray *build_argv(const MakeOptions *options, const Device *device)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *cpus = g_strjoinv(":", device->queue_cpus);

	g_ptr_array_add(argv, NULL); /* the program: server-process.c knows which */
	add_argument(argv, "-t", "%s", options->target);
	make_options_append_arguments(options, argv);
	/* What the driver made of it, not what was asked for. */
	add_argument(argv, "--char-fd", "%d", SERVER_PROCESS_CHAR_FD);
	add_argument(argv, "--report-fd", "%d", SERVER_PROCESS_REPORT_FD);
	add_argument(argv, "--id", "%u", device->id);
	add_argument(argv, "--queues", "%u", device->queues);
	add_argument(argv, "--depth", "%u", device->depth);
	add_argument(argv, "--max-io-size", "%u", device->max_io_size);
	add_argument(argv, "--flags", "0x%" G_GINT64_MODIFIER "x", device->flags);
	if (*cpus)
		add_argument(argv, "--queue-cpus", "%s", cpus);
	g_ptr_array_add(argv, NULL);
	return argv;
}

/* The server's end of a socket on which it reports to ublkd; -1 with `error`. */
static int open_report(Bus *bus, const Device *device, GError **error)
{
	GVariantBuilder options;

	g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
	return device_get_descriptor(bus, device, "OpenReport", &options, error);
}

/* Returns when the block device can be used. */
static gboolean call_start(Bus *bus, const char *path, int pidfd, GError **error)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	int server = g_unix_fd_list_append(fds, pidfd, error);
	GVariantBuilder builder;

	if (server < 0)
		return FALSE;
	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&builder, "{sv}", UBLK_OPT_REPORT, g_variant_new_boolean(TRUE));
	g_variant_builder_add(&builder, "{sv}", UBLK_OPT_SERVER, g_variant_new_handle(server));
	return bus_call_device(bus, path, "Start", g_variant_new("(a{sv})", &builder), fds, error);
}

/* From a device that exists to one that is served. */
static ServerProcess *start_server(Bus *bus, const Device *device, const MakeOptions *options,
				   int char_fd, GError **error)
{
	g_autoptr(GPtrArray) argv = build_argv(options, device);
	g_autoptr(ServerProcess) process = NULL;
	autofd report = open_report(bus, device, error);

	if (report < 0)
		return NULL;
	process = server_process_start(argv, char_fd, report, error);
	if (!process)
		return NULL;
	/* Or ublkd would wait for a report from a server that is dead. */
	close_fd(&report);
	report = -1;
	if (!call_start(bus, device->path, process->pidfd, error)) {
		/* It says why, if anybody; let it finish. */
		server_process_end(process, 0);
		return NULL;
	}
	return g_steal_pointer(&process);
}

static void handle_server_end(GPid pid, int wait_status, gpointer data)
{
	struct serving *serving = data;

	serving->process->ended = TRUE;
	serving->process->wait_status = wait_status;
	g_main_loop_quit(serving->loop);
}

static gboolean handle_interrupt(gpointer data)
{
	struct serving *serving = data;

	g_main_loop_quit(serving->loop);
	return G_SOURCE_CONTINUE;
}

static void catch_signals(struct serving *serving)
{
	for (gsize i = 0; i < G_N_ELEMENTS(signals_fatal); i++)
		if (!signals_is_ignored(signals_fatal[i]))
			serving->sources[i] =
				g_unix_signal_add(signals_fatal[i], handle_interrupt, serving);
}

/* From here on a second signal ends us at once, and the server by its parent's death. */
static void release_signals(struct serving *serving)
{
	for (gsize i = 0; i < G_N_ELEMENTS(signals_fatal); i++)
		if (serving->sources[i])
			g_source_remove(serving->sources[i]);
}

/* Until a signal, or the server's end. */
static void wait_for_end(struct serving *serving)
{
	guint child = g_child_watch_add(serving->process->pid, handle_server_end, serving);

	g_main_loop_run(serving->loop);
	if (!serving->process->ended)
		g_source_remove(child);
}

static int serve(Bus *bus, const char *path, MakeOptions *options, int char_fd, gboolean json,
		 GError **error)
{
	g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
	g_autoptr(Device) device = device_get(bus, path, error);
	g_autoptr(ServerProcess)
		process = device ? start_server(bus, device, options, char_fd, error) : NULL;
	g_autofree char *node = device_get_node(path);
	struct serving serving = { .loop = loop, .process = process };
	static char shown_at_once[64 << 10];
	gboolean shown;

	if (!make_options_settle_file(options, process ? NULL : *error, error) || !process) {
		/* What was created and is not known goes when we leave the bus. */
		deadline_extend();
		if (device)
			device_delete(bus, device, NULL);
		return EXIT_CODE_FAILURE;
	}
	/*
	 * What a signal does changes before anybody is told that there is something to interrupt,
	 * and not before ublkd, which may not answer, was asked for the last time.
	 */
	setvbuf(stdout, shown_at_once, _IOFBF, sizeof(shown_at_once));
	shown = show_device(bus, path, json, error);
	catch_signals(&serving);
	fflush(stdout);
	deadline_clear();
	if (shown)
		wait_for_end(&serving);
	release_signals(&serving);
	/* When we say that all is well what was written is durable. */
	if (device_delete(bus, device, *error ? NULL : error))
		server_process_wait(process, SERVER_PATIENCE_MS);
	else
		server_process_end(process, SERVER_PATIENCE_MS);
	/* A clean end: the device was deleted, or the server told to stop, and nothing was lost. */
	if (!*error && !g_spawn_check_wait_status(process->wait_status, NULL)) {
		if (WIFSIGNALED(process->wait_status))
			g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
				    "the server of %s was killed by signal %d (%s)", node,
				    WTERMSIG(process->wait_status),
				    g_strsignal(WTERMSIG(process->wait_status)));
		else
			g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
				    "the server of %s failed with status %d", node,
				    WEXITSTATUS(process->wait_status));
	}
	return EXIT_CODE_SUCCESS;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE, json = FALSE;
	const GOptionEntry common[] = {
		VERBS_JSON(&json),
		VERBS_NO_ASK_PASSWORD(&ask_password),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(MakeOptions) options = make_options_new();
	g_autoptr(Bus) bus = NULL;
	g_autofree char *path = NULL;
	autofd char_fd = -1;

	if (!verbs_parse_two(verb, make_options_get_entries(), common, options, &argc, &argv,
			     error) ||
	    !make_options_check(options, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(ask_password, error);
	if (!bus || !make_options_create_file(options, error))
		return EXIT_CODE_FAILURE;
	path = create_device(bus, options, &char_fd, error);
	if (!path)
		return EXIT_CODE_FAILURE;
	return serve(bus, path, options, char_fd, json, error);
}

const struct verb verb_serve = {
	.name = "serve",
	.summary = "Make a device and serve it here, in the foreground",
	.description =
		"The device lives until Ctrl-C, SIGTERM, or the end of this command in any other "
		"way.\n"
		"It works in a container that has the host's /run/dbus/system_bus_socket and "
		"whose\n"
		"seccomp profile allows io_uring; no device node is needed. Options as for `add`.\n"
		"\n"
		"Example:\n"
		"  ublk-client serve -t loop -f disk.img",
	.creates = TRUE,
	.run = run,
};
