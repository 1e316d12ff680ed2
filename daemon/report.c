/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "descriptor.h"
#include "error.h"
#include "options.h"

/* One datagram; a longer one is cut off and then refused. */
#define MAX_REPORT 4096

typedef struct {
	int fd;
	uid_t uid;
	guint readable, deadline, idle;
	GCancellable *cancellable;
	gulong handler;
	gboolean takes_memory; /* the server says so */
	ReportDone done;
	gpointer user_data;
} Wait;

static void wait_end(Wait *wait, const struct ublk_limits *limits, pid_t pid, const GError *error)
{
	int channel = limits && wait->takes_memory ? wait->fd : -1;

	g_clear_handle_id(&wait->readable, g_source_remove);
	g_clear_handle_id(&wait->deadline, g_source_remove);
	g_clear_handle_id(&wait->idle, g_source_remove);
	if (wait->cancellable) {
		g_signal_handler_disconnect(wait->cancellable, wait->handler);
		g_object_unref(wait->cancellable);
	}
	if (channel < 0)
		descriptor_close_later(wait->fd, wait->uid);
	wait->done(limits, pid, channel, error, wait->user_data);
	g_free(wait);
}

/* What a server's errno means to its caller; most are about the arguments: which file, which size.
 */
static UblkError code_of(const char *number)
{
	switch (g_ascii_strtoll(number, NULL, 10)) {
	case EBUSY:
		return UBLK_ERROR_BUSY;
	case ENOSYS:
	case EOPNOTSUPP:
		return UBLK_ERROR_NOT_SUPPORTED;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return UBLK_ERROR_LIMIT_EXCEEDED;
	default:
		return UBLK_ERROR_INVALID_ARGUMENT;
	}
}

/* What a server says about why it could not start. */
static GError *parse_failure(char **lines)
{
	UblkError code = UBLK_ERROR_INVALID_ARGUMENT;
	const char *text = "it does not say why";

	for (; *lines; lines++) {
		if (g_str_has_prefix(*lines, "ERRNO="))
			code = code_of(*lines + strlen("ERRNO="));
		else if (g_str_has_prefix(*lines, "ERROR="))
			text = *lines + strlen("ERROR=");
	}
	return g_error_new(UBLK_ERROR, code, "the server cannot start: %s", text);
}

/* The one line that is not about what the device is to be; it is made an empty one. */
static gboolean take_shared_memory(char **lines)
{
	gboolean found = FALSE;

	for (; *lines; lines++) {
		if (g_str_equal(*lines, UBLK_OPT_SHARED_MEMORY "=1")) {
			**lines = '\0';
			found = TRUE;
		}
	}
	return found;
}

static void parse(Wait *wait, char *text, gsize len, pid_t pid)
{
	g_auto(GStrv) lines = NULL;
	g_autoptr(GError) error = NULL;
	struct ublk_limits limits;

	/* a NUL in the middle would hide the rest */
	if (strlen(text) != len) {
		error = g_error_new_literal(UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
					    "the server's report is not text");
		wait_end(wait, NULL, 0, error);
		return;
	}
	lines = g_strsplit(text, "\n", -1);
	wait->takes_memory = take_shared_memory(lines + 1);
	if (!g_str_equal(lines[0], "READY=1"))
		error = parse_failure(lines);
	else if (!options_parse_report(lines + 1, &limits, &error))
		g_prefix_error(&error, "the report is wrong: ");
	wait_end(wait, error ? NULL : &limits, pid, error);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user_data)
{
	Wait *wait = user_data;
	char text[MAX_REPORT + 1];
	DescriptorMessage message;
	g_autoptr(GError) error = NULL;
	ssize_t len;

	len = descriptor_receive(wait->fd, text, MAX_REPORT, wait->uid, &message);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	wait->readable = 0;
	/* a report brings none */
	descriptor_close_later(message.fd, wait->uid);
	if (len <= 0)
		error = g_error_new_literal(
			UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
			"the server ended before it was ready (its messages are in "
			"the journal)");
	else if (message.truncated)
		error = g_error_new_literal(UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
					    "the server's report is too long");
	else if (message.sender.pid && message.sender.uid != wait->uid)
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
				    "the report is from a process of user %u, not %u",
				    message.sender.uid, wait->uid);
	if (error) {
		wait_end(wait, NULL, 0, error);
		return G_SOURCE_REMOVE;
	}
	text[len] = '\0';
	parse(wait, text, (gsize)len, message.sender.pid);
	return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer user_data)
{
	Wait *wait = user_data;
	g_autoptr(GError) error = g_error_new_literal(UBLK_ERROR, UBLK_ERROR_TIMED_OUT,
						      "the server was not ready in time");

	wait->deadline = 0;
	wait_end(wait, NULL, 0, error);
	return G_SOURCE_REMOVE;
}

static gboolean on_cancelled_idle(gpointer user_data)
{
	Wait *wait = user_data;
	g_autoptr(GError)
		error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "cancelled");

	wait->idle = 0;
	wait_end(wait, NULL, 0, error);
	return G_SOURCE_REMOVE;
}

static void on_cancelled(GCancellable *cancellable, gpointer user_data)
{
	Wait *wait = user_data;

	if (!wait->idle)
		wait->idle = g_idle_add(on_cancelled_idle, wait);
}

void report_wait(int fd, uid_t uid, guint timeout_ms, GCancellable *cancellable, ReportDone done,
		 gpointer user_data)
{
	Wait *wait = g_new0(Wait, 1);

	wait->fd = fd;
	wait->uid = uid;
	wait->done = done;
	wait->user_data = user_data;
	wait->readable = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, wait);
	wait->deadline = g_timeout_add(timeout_ms, on_deadline, wait);
	if (cancellable) {
		wait->cancellable = g_object_ref(cancellable);
		wait->handler =
			g_signal_connect(cancellable, "cancelled", G_CALLBACK(on_cancelled), wait);
		if (g_cancellable_is_cancelled(cancellable))
			on_cancelled(cancellable, wait);
	}
}

gboolean report_open(int *ours, int *theirs, GError **error)
{
	static const int on = 1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "cannot make a socket for the server's report: %s", g_strerror(errno));
		return FALSE;
	}
	/* before anything can be sent, so that the kernel notes each sender's pid and uid */
	setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	*ours = pair[0];
	*theirs = pair[1];
	return TRUE;
}

gboolean report_send_file(int ours, const char *path, int fd, GError **error)
{
	DescriptorControl control;
	struct iovec iov = { (void *)(path ? path : "-"), path ? strlen(path) : 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0)
		descriptor_attach(&message, &control, fd);
	if (sendmsg(ours, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return TRUE;
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
		    "cannot hand the backing file to the server: %s", g_strerror(errno));
	return FALSE;
}
