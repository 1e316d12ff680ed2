/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attached-server SIZE [QUEUES [DEPTH]]
 *
 * A ublk server as anybody could write one from the D-Bus documentation: a disk in memory that uses
 * nothing but CreateDevice's descriptor and Start. None of the project's code is in it, only the
 * driver's structures. It needs the bus's socket and /proc, no /dev: it is run in fresh user, mount
 * and pid namespaces.
 *
 * Prints "live N" when Start has returned, and serves until it gets SIGTERM or the device is gone.
 */
#include <errno.h>
#include <fcntl.h>
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

static char *disk;
static guint64 disk_size;
static guint queues = 1, depth = 16;
static int char_fd;

static void queue_command(struct io_uring *ring, guint queue, guint tag, guint32 op, gint32 result,
			  void *buf)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct ublksrv_io_cmd *cmd = (struct ublksrv_io_cmd *)sqe->cmd;

	memset(sqe, 0, sizeof(*sqe));
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
	r = io_uring_queue_init(depth, &ring, 0);
	if (r < 0)
		die("io_uring: %s", g_strerror(-r));
	for (guint tag = 0; tag < depth; tag++)
		queue_command(&ring, queue, tag, UBLK_U_IO_FETCH_REQ, 0, bufs + tag * MAX_IO);
	while (alive > 0) {
		struct io_uring_cqe *cqe;

		io_uring_submit_and_wait(&ring, 1);
		while (io_uring_peek_cqe(&ring, &cqe) == 0) {
			guint tag = (guint)cqe->user_data;
			char *buf = bufs + tag * MAX_IO;

			r = cqe->res;
			io_uring_cqe_seen(&ring, cqe);
			if (r != UBLK_IO_RES_OK) {
				alive--;
				continue;
			}
			queue_command(&ring, queue, tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ,
				      serve(&descs[tag], buf), buf);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusConnection) bus = NULL;
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GVariant) created = NULL;
	g_autoptr(GVariant) started = NULL;
	g_autofree gchar *address = NULL;
	g_autofree gchar *proc = NULL;
	GVariantDict options;
	const gchar *object;
	gint handle;
	int path_fd;
	GThread *threads[64];

	if (argc < 2 || argc > 4)
		die("usage: attached-server SIZE [QUEUES [DEPTH]]");
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
	proc = g_strdup_printf("/proc/self/fd/%d", path_fd);
	char_fd = open(proc, O_RDWR | O_CLOEXEC);
	if (char_fd < 0)
		die("%s: %s", proc, g_strerror(errno));

	/* The kernel may have granted fewer queues than were asked for. */
	{
		g_autoptr(GVariant) property = g_dbus_connection_call_sync(
			bus, "org.ublk1", object, "org.freedesktop.DBus.Properties", "Get",
			g_variant_new("(ss)", "org.ublk1.Device", "Queues"), NULL,
			G_DBUS_CALL_FLAGS_NONE, 60000, NULL, &error);
		g_autoptr(GVariant) value = NULL;

		if (!property)
			die("Queues: %s", error->message);
		g_variant_get(property, "(v)", &value);
		queues = g_variant_get_uint32(value);
		g_assert_cmpuint(queues, >=, 1);
		g_assert_cmpuint(queues, <=, G_N_ELEMENTS(threads));
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
	/* Each ends when the device has gone; SIGTERM ends the process, and the kernel the device.
	 */
	for (guint queue = 0; queue < queues; queue++)
		g_thread_join(threads[queue]);
	puts("gone");
	return 0;
}
