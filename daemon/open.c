/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ublkd cannot open a block device: the driver lets only its owner, and ublkd's own device policy
 * allows none (it would have to allow all block devices, the disks of the machine among them). So
 * systemd runs ublk-open as the device's owner, and that may be any process of the owner's by the
 * time it answers: what it sends is looked at.
 *
 * Why the descriptor is of the device that was meant and of no later one of its number: the gate
 * (request.c) has asked for the device's cookie; then the node was looked up, once; then it was
 * opened through that descriptor, not by its name; then the cookie was asked for again. So the node
 * was the device's for all that time, and so was the node's device number, which is compared with
 * the one of the descriptor that came.
 *
 * A descriptor of a block device must never be the last one that ublkd closes in a thread that
 * others need: with the last one goes what is dirty in the page cache, and that waits for the
 * device's server, which may be the hostile caller. See deliver().
 */
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "audit.h"
#include "config.h"
#include "daemon.h"
#include "descriptor.h"
#include "error.h"
#include "kernel.h"
#include "kernel/ublk-node.h"
#include "report.h"
#include "units.h"

/* Of one user's devices at once: each is a unit, which systemd starts one after the other. */
#define MAX_PER_USER 4

/* An errno in decimal, or nothing beside a descriptor. */
#define MAX_ANSWER 16

typedef struct {
	Request *request;
	char *unit;
	dev_t rdev; /* the node's */
	int socket; /* ours */
	int fd;     /* what has come, or -1 */
	guint readable, deadline;
} Opening;

static GList *openings;

static gboolean is_for_reading(const Request *request)
{
	return request->options->open_read_only == OPTION_TRUE;
}

gboolean open_check(Request *request, GError **error)
{
	const Device *device = request->device;
	guint n = 0;

	if (device->teardown || !g_str_equal(device->state, UBLK_STATE_LIVE)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
			    "device %u is %s, not " UBLK_STATE_LIVE, device->id, device->state);
		return FALSE;
	}
	if (!is_for_reading(request) && ublk_bus_device_get_read_only(device->bus)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			    "device %u is read-only: ask for it with option \"read-only\"",
			    device->id);
		return FALSE;
	}
	for (GList *l = openings; l; l = l->next)
		n += ((Opening *)l->data)->request->device->uid == device->uid;
	if (n >= MAX_PER_USER) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_BUSY,
			    "%u devices of user %u are being opened already; try again", n,
			    device->uid);
		return FALSE;
	}
	return TRUE;
}

static void on_unit_stopped(const GError *error, gpointer unused)
{
	if (error)
		g_message("%s", error->message);
}

/* Frees all but the request, which is the caller's from now on. */
static Request *opening_end(Opening *opening)
{
	Request *request = opening->request;

	openings = g_list_remove(openings, opening);
	g_clear_handle_id(&opening->readable, g_source_remove);
	g_clear_handle_id(&opening->deadline, g_source_remove);
	descriptor_close_later(opening->socket, request->device->uid);
	descriptor_close_later(opening->fd, request->device->uid);
	g_free(opening->unit);
	g_free(opening);
	return request;
}

static void fail(Opening *opening, UblkError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void fail(Opening *opening, UblkError code, const char *format, ...)
{
	GError *error;
	va_list args;

	va_start(args, format);
	error = g_error_new_valist(UBLK_ERROR, code, format, args);
	va_end(args);
	request_fail(opening_end(opening), error);
}

/* ---- the answer ---- */

typedef struct {
	GUnixFDList *fds;
	uid_t user;
} Sent;

static void on_sent(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree Sent *sent = user_data;

	g_dbus_connection_flush_finish(G_DBUS_CONNECTION(source), result, NULL);
	descriptor_close_list_later(sent->fds, sent->user);
	g_object_unref(sent->fds);
}

/*
 * The list is held until the message is out, and what is in it taken away then: so GDBus, which
 * would close it in the thread that serves everybody, has nothing to close.
 */
static void deliver(Opening *opening)
{
	Sent *sent = g_new0(Sent, 1);
	int fd = opening->fd;
	Request *request;

	opening->fd = -1;
	request = opening_end(opening);
	sent->user = request->device->uid;
	sent->fds = g_unix_fd_list_new_from_array(&fd, 1);
	audit_opened(request->device, request->caller);
	request_return(request, g_variant_new("(h)", 0), sent->fds);
	g_dbus_connection_flush(bus(), NULL, on_sent, sent);
}

/* ---- is it still the device? ---- */

static void on_info(int res, const void *buf, size_t len, void *user_data)
{
	Opening *opening = user_data;
	const Device *device = opening->request->device;

	if (res < 0)
		request_fail(opening_end(opening),
			     error_from_kernel(res, "let the owner at the device"));
	else if (!device_matches(device, buf, len) || device_lookup(device->id) != device ||
		 device->teardown || !g_str_equal(device->state, UBLK_STATE_LIVE))
		fail(opening, UBLK_ERROR_NOT_FOUND, "device %u went while it was being opened",
		     device->id);
	else
		deliver(opening);
}

static void ask_again(Opening *opening)
{
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd =
		device_make_command(opening->request->device, UBLK_U_CMD_GET_DEV_INFO2);
	GError *error = NULL;

	cmd.buf = &info;
	cmd.len = sizeof(info);
	if (!kernel_command(&cmd, NULL, on_info, opening, &error))
		request_fail(opening_end(opening), error);
}

/* ---- what ublk-open says ---- */

/*
 * A process of the owner's has sent it: it may be of a FUSE file, whose server would be asked by
 * fstat() and may never answer. Nobody is asked for what the kernel knows already, which for a
 * device node is all.
 */
static gboolean is_right(const Opening *opening)
{
	int wanted = is_for_reading(opening->request) ? O_RDONLY : O_RDWR;
	int flags = fcntl(opening->fd, F_GETFL);
	struct statx st;

	if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) != wanted ||
	    statx(opening->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &st) < 0)
		return FALSE;
	return S_ISBLK(st.stx_mode) &&
	       makedev(st.stx_rdev_major, st.stx_rdev_minor) == opening->rdev;
}

static void fail_by_errno(Opening *opening, const char *answer)
{
	guint32 id = opening->request->device->id;
	int err = (int)g_ascii_strtoll(answer, NULL, 10);

	switch (err) {
	case EACCES:
	case EPERM:
	case EROFS:
		fail(opening, UBLK_ERROR_ACCESS_DENIED,
		     "the owner of device %u may not open its node so: %s", id, g_strerror(err));
		return;
	case ENOENT:
	case ENXIO:
	case ENODEV:
		fail(opening, UBLK_ERROR_NOT_FOUND, "device %u went while it was being opened", id);
		return;
	case EBUSY:
		fail(opening, UBLK_ERROR_BUSY,
		     "device %u is in use by something that allows no "
		     "other opener",
		     id);
		return;
	default:
		fail(opening, UBLK_ERROR_KERNEL, "cannot open device %u: %s", id,
		     err > 0 ? g_strerror(err) : "its opener makes no sense");
	}
}

static gboolean on_answer(gint socket, GIOCondition condition, gpointer user_data)
{
	Opening *opening = user_data;
	char answer[MAX_ANSWER + 1] = "";
	DescriptorMessage message;
	ssize_t len = descriptor_receive(socket, answer, MAX_ANSWER, opening->request->device->uid,
					 &message);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	opening->readable = 0;
	/* also of an empty message, which else means the end */
	opening->fd = message.fd;
	if (len <= 0)
		fail(opening, UBLK_ERROR_KERNEL,
		     "what was to open device %u for its owner ended (see `journalctl -u %s`)",
		     opening->request->device->id, opening->unit);
	else if (opening->fd < 0)
		fail_by_errno(opening, answer);
	else if (!is_right(opening))
		fail(opening, UBLK_ERROR_ACCESS_DENIED,
		     "a process of user %u sent another descriptor than the one of device %u",
		     opening->request->device->uid, opening->request->device->id);
	else
		ask_again(opening);
	return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer user_data)
{
	Opening *opening = user_data;

	opening->deadline = 0;
	units_stop(opening->unit, settings()->stop_ms, on_unit_stopped, NULL);
	/* a command that was submitted still needs it */
	if (opening->readable)
		fail(opening, UBLK_ERROR_TIMED_OUT, "device %u could not be opened in time",
		     opening->request->device->id);
	return G_SOURCE_REMOVE;
}

/* ---- the beginning ---- */

/* It may have timed out meanwhile: looked up, not used. */
static void on_started(const GError *error, gpointer user_data)
{
	for (GList *l = openings; error && l; l = l->next) {
		Opening *opening = l->data;

		/* with an answer to wait for, which comes or not; else the kernel is being asked */
		if (opening == user_data && opening->readable) {
			request_fail(opening_end(opening), g_error_copy(error));
			return;
		}
	}
}

/* The node, held; -1: the request has been answered. */
static int hold_node(Request *request, dev_t *rdev)
{
	const Device *device = request->device;
	struct ublk_node_owner owner;
	int node = ublk_node_open(UBLK_NODE_BLOCK, device->id, &owner);

	if (node >= 0) {
		*rdev = owner.rdev;
		return node;
	}
	request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
					  "the node of device %u cannot be found: %s", device->id,
					  g_strerror(-node)));
	return -1;
}

void open_act(Request *request)
{
	const Device *device = request->device;
	const char *argv[] = { UBLK_OPEN_PATH, is_for_reading(request) ? "r" : "rw", NULL };
	GError *error = NULL;
	int theirs = -1, node;
	Opening *opening;
	dev_t rdev;

	node = hold_node(request, &rdev);
	if (node < 0)
		return;
	opening = g_new0(Opening, 1);
	opening->request = request;
	opening->rdev = rdev;
	opening->fd = opening->socket = -1;
	opening->unit = g_strdup_printf("ublk-open-%u-%08x.service", device->id, g_random_int());
	openings = g_list_prepend(openings, opening);
	if (!report_open(&opening->socket, &theirs, &error) ||
	    !report_send_file(opening->socket, NULL, node, &error)) {
		request_fail(opening_end(opening), error);
	} else {
		opening->readable = g_unix_fd_add(opening->socket, G_IO_IN | G_IO_HUP | G_IO_ERR,
						  on_answer, opening);
		opening->deadline = g_timeout_add(settings()->start_ms, on_deadline, opening);
		units_open(opening->unit, device->id, device->uid, device->gid, argv, theirs,
			   on_started, opening);
	}
	if (theirs >= 0)
		close(theirs);
	close(node);
}
