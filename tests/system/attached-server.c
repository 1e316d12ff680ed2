/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attached-server [--hostile MODE] SIZE [QUEUES [DEPTH]]
 *
 * A ublk server as anybody could write one from the D-Bus documentation: a disk in memory that uses
 * nothing but CreateDevice's descriptor and Start. None of the project's code is in it, only the
 * driver's structures. It needs the bus's socket and /proc, no /dev: it is run in fresh user, mount
 * and pid namespaces.
 *
 * Prints "created N" and, when Start has returned, "live N", and serves until it gets SIGTERM or
 * the device is gone.
 *
 * --hostile: what somebody would write who wants to do harm; see the table of modes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <liburing.h>

#include "ublk-abi.h"

static _Noreturn void G_GNUC_PRINTF(1, 2) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("attached-server: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

#define MAX_IO 65536

static enum mode {
	HONEST,
	EXIT_CREATED,  /* ends before it has opened the char device, */
	EXIT_OPENED,   /* before it has fetched, */
	EXIT_STARTING, /* while Start waits for the rest of its fetches, */
	EXIT_LIVE,     /* with the device, */
	EXIT_IO,       /* with a request in its hands */
	NO_FETCH,      /* has the device started, and never fetches */
	STOP_STARTING, /* stops itself (SIGSTOP) while Start waits, */
	STOP_IO,       /* with a request in its hands */
	SILENT,        /* takes requests, and never answers */
	TWICE,         /* answers everything twice */
	LONG,          /* has always done more than was asked for */
	ERRNO,         /* fails with a number that is no errno */
	NOTHING,       /* has always done nothing, successfully */
	STRANGE,       /* commits what it has not, fetches what it has, and queues that are not */
	KEEP,          /* ends, but has a child that has all that it had */
	CHILD_SERVES,  /* opens the char device; a child fetches, and is silent */
} mode;

static const char *const mode_names[] = {
	[HONEST] = "honest",
	[EXIT_CREATED] = "exit-created",
	[EXIT_OPENED] = "exit-opened",
	[EXIT_STARTING] = "exit-starting",
	[EXIT_LIVE] = "exit-live",
	[EXIT_IO] = "exit-io",
	[NO_FETCH] = "no-fetch",
	[STOP_STARTING] = "stop-starting",
	[STOP_IO] = "stop-io",
	[SILENT] = "silent",
	[TWICE] = "twice",
	[LONG] = "long",
	[ERRNO] = "errno",
	[NOTHING] = "nothing",
	[STRANGE] = "strange",
	[KEEP] = "keep",
	[CHILD_SERVES] = "child-serves",
};

static char *disk;
static guint64 disk_size;
static guint queues = 1, depth = 16;
static int char_fd;
static GDBusConnection *bus;
static const gchar *object;

static GVariant *get_property(const char *name)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
		bus, "org.ublk1", object, "org.freedesktop.DBus.Properties", "Get",
		g_variant_new("(ss)", "org.ublk1.Device", name), NULL, G_DBUS_CALL_FLAGS_NONE,
		60000, NULL, &error);
	GVariant *value;

	if (!reply)
		die("%s: %s", name, error->message);
	g_variant_get(reply, "(v)", &value);
	return value;
}

static void wait_for_start(void)
{
	for (gboolean starting = FALSE; !starting; g_usleep(10000)) {
		g_autoptr(GVariant) state = get_property("State");

		starting = g_str_equal(g_variant_get_string(state, NULL), "starting");
	}
}

static void queue_command(struct io_uring *ring, guint queue, guint tag, guint32 op, gint32 result,
			  void *buf)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct ublksrv_io_cmd *cmd;

	/* The ring has room for all that is ever under way. */
	if (!sqe)
		die("the ring is full");
	memset(sqe, 0, sizeof(*sqe));
	cmd = (struct ublksrv_io_cmd *)sqe->cmd;
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = char_fd;
	sqe->cmd_op = op;
	sqe->user_data = tag;
	cmd->q_id = (guint16)queue;
	cmd->tag = (guint16)tag;
	cmd->result = result;
	cmd->addr = (guint64)(uintptr_t)buf;
}

static gint32 serve(const struct ublksrv_io_desc *desc, char *buf)
{
	guint64 at = desc->start_sector * 512;
	guint64 len = (guint64)desc->nr_sectors * 512;

	if (at > disk_size || len > disk_size - at)
		return -EIO;
	switch (ublksrv_get_op(desc)) {
	case UBLK_IO_OP_READ:
		memcpy(buf, disk + at, len);
		return (gint32)len;
	case UBLK_IO_OP_WRITE:
		memcpy(disk + at, buf, len);
		return (gint32)len;
	case UBLK_IO_OP_FLUSH:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* What a hostile server does with a request before it answers. */
static void meddle(struct io_uring *ring, guint queue, guint tag, gint32 *result, char *buf)
{
	switch (mode) {
	case EXIT_IO:
		_exit(0);
	case STOP_IO:
		raise(SIGSTOP);
		break;
	case LONG:
		*result = INT_MAX;
		break;
	case ERRNO:
		*result = tag % 2 ? INT_MIN : -5000;
		break;
	case NOTHING:
		*result = 0;
		break;
	case STRANGE:
		/* All refused; the request itself is answered as it should be. */
		queue_command(ring, queue, (tag + 1) % depth, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 0,
			      buf);
		queue_command(ring, queue, tag, UBLK_U_IO_FETCH_REQ, 0, buf);
		queue_command(ring, queue, UINT16_MAX, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 0, buf);
		queue_command(ring, UINT16_MAX, tag, UBLK_U_IO_FETCH_REQ, 0, buf);
		queue_command(ring, queue, tag, UBLK_U_IO_NEED_GET_DATA, 0, buf);
		queue_command(ring, queue, tag, UBLK_U_CMD_DEL_DEV, 0, buf);
		break;
	default:
		break;
	}
}

static gpointer queue_thread(gpointer data)
{
	guint queue = GPOINTER_TO_UINT(data);
	gsize page = (gsize)getpagesize();
	/* The queues lie apart by the room for the largest; each is mapped as long as it is. */
	gsize room = UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc);
	gsize len = depth * sizeof(struct ublksrv_io_desc);
	struct io_uring ring;
	const struct ublksrv_io_desc *descs;
	char *bufs = aligned_alloc(page, (gsize)depth * MAX_IO);
	guint alive = depth;
	int r;

	room = (room + page - 1) / page * page;
	len = (len + page - 1) / page * page;
	descs = mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_POPULATE, char_fd,
		     (off_t)(UBLKSRV_CMD_BUF_OFFSET + queue * room));
	if (descs == MAP_FAILED)
		die("mmap: %s", g_strerror(errno));
	/* A hostile server queues more than one command for a request. */
	r = io_uring_queue_init(depth * 8, &ring, 0);
	if (r < 0)
		die("io_uring: %s", g_strerror(-r));
	if (mode == NO_FETCH || mode == EXIT_STARTING || mode == STOP_STARTING)
		/* Not some of them: 6.12 warns when that server ends (docs/security.md). */
		alive = 0;
	for (guint tag = 0; tag < alive; tag++)
		queue_command(&ring, queue, tag, UBLK_U_IO_FETCH_REQ, 0, bufs + tag * MAX_IO);
	if (alive < depth) {
		io_uring_submit(&ring);
		wait_for_start();
		if (mode == EXIT_STARTING)
			_exit(0);
		if (mode == STOP_STARTING)
			raise(SIGSTOP);
	}
	while (alive > 0) {
		struct io_uring_cqe *cqe;

		io_uring_submit_and_wait(&ring, 1);
		while (io_uring_peek_cqe(&ring, &cqe) == 0) {
			guint tag = (guint)cqe->user_data;
			char *buf = bufs + tag * MAX_IO;

			gint32 result;

			r = cqe->res;
			io_uring_cqe_seen(&ring, cqe);
			if (r != UBLK_IO_RES_OK) {
				/* A hostile one has asked for what is refused, too. */
				alive -= mode == HONEST || r == UBLK_IO_RES_ABORT;
				continue;
			}
			if (mode == SILENT || mode == CHILD_SERVES)
				continue;
			result = serve(&descs[tag], buf);
			meddle(&ring, queue, tag, &result, buf);
			queue_command(&ring, queue, tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result,
				      buf);
			if (mode == TWICE)
				queue_command(&ring, queue, tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ,
					      result, buf);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GVariant) created = NULL;
	g_autoptr(GVariant) started = NULL;
	g_autofree gchar *address = NULL;
	g_autofree gchar *proc = NULL;
	GVariantDict options;
	gint handle;
	int path_fd;
	GThread *threads[64];

	if (argc > 3 && g_str_equal(argv[1], "--hostile")) {
		while (!g_str_equal(argv[2], mode_names[mode]))
			if (++mode == G_N_ELEMENTS(mode_names))
				die("there is no mode %s", argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc < 2 || argc > 4)
		die("usage: attached-server [--hostile MODE] SIZE [QUEUES [DEPTH]]");
	disk_size = g_ascii_strtoull(argv[1], NULL, 10);
	if (argc > 2)
		queues = (guint)atoi(argv[2]);
	if (argc > 3)
		depth = (guint)atoi(argv[3]);
	g_assert_cmpuint(queues, <=, G_N_ELEMENTS(threads));
	disk = mmap(NULL, disk_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (disk == MAP_FAILED)
		die("memory: %s", g_strerror(errno));

	/* The uid that this process believes to have is not the one that the bus sees. */
	address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (address)
		bus = g_dbus_connection_new_for_address_sync(
			address,
			G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
				G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION |
				G_DBUS_CONNECTION_FLAGS_CROSS_NAMESPACE,
			NULL, NULL, &error);
	if (!bus)
		die("bus: %s", error->message);

	g_variant_dict_init(&options, NULL);
	g_variant_dict_insert(&options, "queues", "u", queues);
	g_variant_dict_insert(&options, "depth", "u", depth);
	g_variant_dict_insert(&options, "max-io-size", "u", MAX_IO);
	created = g_dbus_connection_call_with_unix_fd_list_sync(
		bus, "org.ublk1", "/org/ublk1/Manager", "org.ublk1.Manager", "CreateDevice",
		g_variant_new("(@a{sv})", g_variant_dict_end(&options)), G_VARIANT_TYPE("(oh)"),
		G_DBUS_CALL_FLAGS_NONE, 60000, NULL, &fds, NULL, &error);
	if (!created)
		die("CreateDevice: %s", error->message);
	g_variant_get(created, "(&oh)", &object, &handle);
	path_fd = g_unix_fd_list_get(fds, handle, &error);
	if (path_fd < 0)
		die("the descriptor: %s", error->message);
	printf("created %s\n", strrchr(object, '/') + 1);
	fflush(stdout);
	if (mode == EXIT_CREATED)
		_exit(0);
	proc = g_strdup_printf("/proc/self/fd/%d", path_fd);
	char_fd = open(proc, O_RDWR | O_CLOEXEC);
	if (char_fd < 0)
		die("%s: %s", proc, g_strerror(errno));
	if (mode == EXIT_OPENED)
		_exit(0);

	/* The kernel may have granted fewer queues than were asked for. */
	{
		g_autoptr(GVariant) value = get_property("Queues");

		queues = g_variant_get_uint32(value);
		g_assert_cmpuint(queues, >=, 1);
		g_assert_cmpuint(queues, <=, G_N_ELEMENTS(threads));
	}
	if (mode == CHILD_SERVES) {
		if (fork() == 0) {
			queue_thread(GUINT_TO_POINTER(0));
			_exit(0);
		}
		queues = 0;
	}
	for (guint queue = 0; queue < queues; queue++)
		threads[queue] = g_thread_new("queue", queue_thread, GUINT_TO_POINTER(queue));

	g_variant_dict_init(&options, NULL);
	g_variant_dict_insert(&options, "size", "t", disk_size);
	g_variant_dict_insert(&options, "logical-block-size", "u", 512U);
	started =
		g_dbus_connection_call_sync(bus, "org.ublk1", object, "org.ublk1.Device", "Start",
					    g_variant_new("(@a{sv})", g_variant_dict_end(&options)),
					    NULL, G_DBUS_CALL_FLAGS_NONE, 60000, NULL, &error);
	if (!started)
		die("Start: %s", error->message);
	printf("live %s\n", strrchr(object, '/') + 1);
	fflush(stdout);
	if (mode == EXIT_LIVE)
		_exit(0);
	if (mode == KEEP) {
		if (fork() == 0)
			pause();
		_exit(0);
	}
	if (mode == CHILD_SERVES)
		pause();
	/* Each ends when the device has gone; SIGTERM ends the process, and the kernel the device.
	 */
	for (guint queue = 0; queue < queues; queue++)
		g_thread_join(threads[queue]);
	puts("gone");
	return 0;
}
