/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "channel.h"

#include <errno.h>
#include <glib-unix.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "descriptor.h"
#include "error.h"

#define MAX_ANSWER 128

/*
 * A descriptor that was sent and not received counts against ublkd (as many of them as it may have
 * open, and it can send none any more, to nobody), until the other end reads it or is closed. A
 * user who has many servers that never read, whatever they answer, could keep many. So none is
 * sent while an earlier message is still unread; and sockets that hold one when they are given up
 * stay open here, where that can be asked, and a user may have so many of them.
 */
#define MAX_UNREAD_PER_USER 16

typedef struct {
	int fd;
	uid_t uid;
} Unread;

static GList *unread; /* of Unread */

struct Channel {
	int fd; /* -1: closed for good */
	uid_t uid;
	gboolean gave; /* a descriptor, ever */
	guint32 serial;
	guint readable, deadline, idle; /* sources, while an answer is due */
	GError *failure;                /* for `idle` */
	ChannelDone done;
	gpointer user_data;
};

Channel *channel_new(int fd, uid_t uid, guint32 serial)
{
	Channel *channel = g_new0(Channel, 1);

	channel->fd = fd;
	channel->uid = uid;
	channel->serial = serial;
	return channel;
}

static void stop_waiting(Channel *channel)
{
	g_clear_handle_id(&channel->readable, g_source_remove);
	g_clear_handle_id(&channel->deadline, g_source_remove);
	g_clear_handle_id(&channel->idle, g_source_remove);
	g_clear_error(&channel->failure);
}

/*
 * Whether the other end has not read everything. It becomes empty when that is closed, too; that it
 * looks closed (POLLHUP) proves nothing, since shutdown() does the same and leaves all in it.
 */
static gboolean holds_something(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

static void close_for_good(Channel *channel)
{
	if (channel->fd >= 0 && channel->gave && holds_something(channel->fd)) {
		Unread *one = g_new(Unread, 1);

		one->fd = channel->fd;
		one->uid = channel->uid;
		unread = g_list_prepend(unread, one);
	} else if (channel->fd >= 0) {
		descriptor_close_later(channel->fd, channel->uid);
	}
	channel->fd = -1;
}

static guint count_unread(uid_t uid)
{
	guint n = 0;

	for (GList *l = unread, *next; l; l = next) {
		Unread *one = l->data;

		next = l->next;
		if (holds_something(one->fd)) {
			n += one->uid == uid;
			continue;
		}
		descriptor_close_later(one->fd, one->uid);
		g_free(one);
		unread = g_list_delete_link(unread, l);
	}
	return n;
}

void channel_free(Channel *channel)
{
	stop_waiting(channel);
	close_for_good(channel);
	g_free(channel);
}

/* `error` is borrowed. The callback may free the channel. */
static void answer(Channel *channel, guint64 served, const GError *error)
{
	ChannelDone done = channel->done;

	channel->done = NULL;
	done(served, error, channel->user_data);
}

static void lose(Channel *channel, UblkError code, const char *why)
{
	g_autoptr(GError) error = g_error_new_literal(UBLK_ERROR, code, why);

	stop_waiting(channel);
	close_for_good(channel);
	answer(channel, 0, error);
}

/* One line of the answer: `key`=number; NULL if it is not that. */
static gboolean parse_line(const char *line, const char *key, guint64 max, guint64 *value)
{
	gsize len = strlen(key);

	return line && strncmp(line, key, len) == 0 && line[len] == '=' &&
	       g_ascii_string_to_unsigned(line + len + 1, 10, 0, max, value, NULL);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user_data)
{
	Channel *channel = user_data;
	g_auto(GStrv) lines = NULL;
	g_autoptr(GError) error = NULL;
	char text[MAX_ANSWER + 1];
	guint64 one, serial, number, served;
	DescriptorMessage message;
	ssize_t len;

	len = descriptor_receive(fd, text, MAX_ANSWER, channel->uid, &message);
	/* an answer brings none */
	descriptor_close_later(message.fd, channel->uid);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	channel->readable = 0;
	if (len <= 0) {
		lose(channel, UBLK_ERROR_INVALID_STATE,
		     "the server has ended, or takes no shared memory any more");
		return G_SOURCE_REMOVE;
	}
	text[len] = '\0';
	lines = g_strsplit(text, "\n", 6);
	if (strlen(text) != (gsize)len || g_strv_length(lines) != 5 ||
	    !parse_line(lines[0], "DONE", 1, &one) ||
	    !parse_line(lines[1], "serial", G_MAXUINT32, &serial) || serial != channel->serial ||
	    !parse_line(lines[2], "errno", 4095, &number) ||
	    !parse_line(lines[3], "served", G_MAXUINT64, &served) || *lines[4]) {
		lose(channel, UBLK_ERROR_INVALID_STATE,
		     "the server's answer about shared memory makes no sense");
		return G_SOURCE_REMOVE;
	}
	stop_waiting(channel);
	if (number)
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
				    "the server cannot take the shared memory: %s",
				    g_strerror((int)number));
	answer(channel, served, error);
	return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer user_data)
{
	Channel *channel = user_data;

	channel->deadline = 0;
	lose(channel, UBLK_ERROR_TIMED_OUT,
	     "the server does not answer about its shared memory; there can be no more of it "
	     "until the device is made anew");
	return G_SOURCE_REMOVE;
}

static gboolean on_idle(gpointer user_data)
{
	Channel *channel = user_data;
	g_autoptr(GError) error = g_steal_pointer(&channel->failure);

	channel->idle = 0;
	stop_waiting(channel);
	answer(channel, 0, error);
	return G_SOURCE_REMOVE;
}

/* Nothing is under way; takes `error`. */
static void fail_later(Channel *channel, GError *error)
{
	channel->failure = error;
	channel->idle = g_idle_add(on_idle, channel);
}

static void ask(Channel *channel, const char *text, int fd, guint timeout_ms, ChannelDone done,
		gpointer user_data)
{
	DescriptorControl control;
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	g_assert(!channel->done);
	channel->done = done;
	channel->user_data = user_data;
	if (fd >= 0 && channel->fd >= 0 && holds_something(channel->fd)) {
		fail_later(channel,
			   g_error_new_literal(UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
					       "the server has not read what it was sent before"));
		return;
	}
	if (fd >= 0 && count_unread(channel->uid) >= MAX_UNREAD_PER_USER) {
		fail_later(channel, g_error_new(UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
						"%d servers of user %u have not read what they "
						"were sent; end them first",
						MAX_UNREAD_PER_USER, channel->uid));
		return;
	}
	if (fd >= 0) {
		descriptor_attach(&message, &control, fd);
		channel->gave = TRUE;
	}
	if (channel->fd >= 0 && sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
		channel->readable = g_unix_fd_add(channel->fd, G_IO_IN | G_IO_HUP | G_IO_ERR,
						  on_readable, channel);
		channel->deadline = g_timeout_add(timeout_ms, on_deadline, channel);
		return;
	}
	/* it may be tried again, if the socket is only full */
	fail_later(channel,
		   g_error_new(UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
			       "the server of this device cannot be told of shared memory (any "
			       "more): %s",
			       channel->fd < 0 ? "it did not answer before" : g_strerror(errno)));
}

void channel_give(Channel *channel, guint index, guint64 size, gboolean read_only, int fd,
		  guint timeout_ms, ChannelDone done, gpointer user_data)
{
	g_autofree char *text = g_strdup_printf("BUFFER=1\nserial=%u\nindex=%u\n"
						"size=%" G_GUINT64_FORMAT "\nread-only=%d\n",
						++channel->serial, index, size, read_only != FALSE);

	ask(channel, text, fd, timeout_ms, done, user_data);
}

void channel_take(Channel *channel, guint index, guint timeout_ms, ChannelDone done,
		  gpointer user_data)
{
	g_autofree char *text =
		g_strdup_printf("DROP=1\nserial=%u\nindex=%u\n", ++channel->serial, index);

	ask(channel, text, -1, timeout_ms, done, user_data);
}
