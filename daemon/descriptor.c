/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "ublk-dbus.h"

/*
 * A user has so many threads at once that close, so that one whose files are stuck keeps only its
 * own waiting; and more than one, so that one stuck file is not enough for that.
 */
#define CLOSERS 2
/*
 * Of all users: who has subordinate ids is many. The unit's TasksMax= is shared with those who act
 * for other users and with the kernel's workers.
 */
#define MAX_CLOSERS 64

typedef struct {
	uid_t uid;
	GQueue fds;    /* as pointers: to be closed */
	guint closing; /* turns in the pool, each of which closes one */
} Closer;

static GMutex lock;         /* of all that follows: messages are also filtered in GDBus's thread */
static GHashTable *closers; /* user → Closer: who has something to close */
static GThreadPool *pool;   /* of Closer */

static void close_one(gpointer data, gpointer unused)
{
	Closer *closer = data;
	gpointer fd;
	gboolean is_one;

	g_mutex_lock(&lock);
	is_one = !g_queue_is_empty(&closer->fds);
	fd = g_queue_pop_head(&closer->fds);
	g_mutex_unlock(&lock);
	if (is_one)
		close(GPOINTER_TO_INT(fd));
	g_mutex_lock(&lock);
	if (!g_queue_is_empty(&closer->fds)) {
		/* behind the other users' */
		g_thread_pool_push(pool, closer, NULL);
	} else if (--closer->closing == 0) {
		g_hash_table_remove(closers, GUINT_TO_POINTER(closer->uid));
		g_free(closer);
	}
	g_mutex_unlock(&lock);
}

void descriptor_close_later(int fd, uid_t user)
{
	Closer *closer;

	if (fd < 0)
		return;
	g_mutex_lock(&lock);
	if (!pool) {
		closers = g_hash_table_new(NULL, NULL);
		pool = g_thread_pool_new(close_one, NULL, MAX_CLOSERS, FALSE, NULL);
	}
	closer = g_hash_table_lookup(closers, GUINT_TO_POINTER(user));
	if (!closer) {
		closer = g_new0(Closer, 1);
		closer->uid = user;
		g_hash_table_insert(closers, GUINT_TO_POINTER(user), closer);
	}
	g_queue_push_tail(&closer->fds, GINT_TO_POINTER(fd));
	if (closer->closing < CLOSERS) {
		closer->closing++;
		/* without a thread (EAGAIN) it waits for one */
		g_thread_pool_push(pool, closer, NULL);
	}
	g_mutex_unlock(&lock);
}

void descriptor_close_list_later(GUnixFDList *fds, uid_t user)
{
	g_autofree int *all = NULL;
	int n = 0;

	if (!fds)
		return;
	all = g_unix_fd_list_steal_fds(fds, &n);
	for (int i = 0; i < n; i++)
		descriptor_close_later(all[i], user);
}

/*
 * Descriptors in messages that have no use for any (a property that is read, a signal that is sent
 * to us) would be closed by GDBus, in the thread that serves everybody. Answers to our own calls
 * may carry some.
 */
static GDBusMessage *on_message(GDBusConnection *connection, GDBusMessage *message,
				gboolean incoming, gpointer unused)
{
	GUnixFDList *fds = incoming ? g_dbus_message_get_unix_fd_list(message) : NULL;
	const char *interface = g_dbus_message_get_interface(message);
	GDBusMessageType type = g_dbus_message_get_message_type(message);

	if (!fds || type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN ||
	    (type == G_DBUS_MESSAGE_TYPE_METHOD_CALL && interface &&
	     g_str_has_prefix(interface, UBLK_BUS_NAME ".")))
		return message;
	descriptor_close_list_later(fds, DESCRIPTOR_OF_NOBODY);
	return message;
}

void descriptor_filter_messages(GDBusConnection *connection)
{
	g_dbus_connection_add_filter(connection, on_message, NULL, NULL);
}

int descriptor_get(GUnixFDList *fds, gint32 handle, const char *option, GError **error)
{
	int n = fds ? g_unix_fd_list_get_length(fds) : 0;
	int fd;

	if (handle < 0 || handle >= n) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			    "option \"%s\" refers to descriptor %d, but the message carries %d",
			    option, handle, n);
		return -1;
	}
	/* duplicates with CLOEXEC */
	fd = g_unix_fd_list_get(fds, handle, NULL);
	if (fd < 0)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "ublkd has no descriptor left for option \"%s\"", option);
	return fd;
}

pid_t descriptor_get_pid(int pidfd, const char *option, GError **error)
{
	char path[64], line[128];
	FILE *info = NULL;
	int pid = -2;

	/*
	 * What it is the kernel says without asking the file. What is in fdinfo the file's own code
	 * writes: that of an epoll waits for a lock that its owner can hold for ever, with a page
	 * that is never filled, and has as many lines as its owner likes.
	 */
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != EBADF) {
		g_snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
		info = fopen(path, "re");
	}
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (info)
		fclose(info);
	if (pid > 0)
		return pid;
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
		    pid == -2 ? "option \"%s\" is not a pidfd"
			      : "option \"%s\" is a pidfd of a process that has ended or cannot be "
				"seen from here",
		    option);
	return -1;
}

void descriptor_attach(struct msghdr *message, DescriptorControl *control, int fd)
{
	struct cmsghdr *c = &control->align;

	*control = (DescriptorControl){ 0 };
	message->msg_control = control->bytes;
	message->msg_controllen = sizeof(control->bytes);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

/* As many as the kernel passes at once. */
#define MAX_DESCRIPTORS 253

ssize_t descriptor_receive(int socket, void *data, gsize size, uid_t user,
			   DescriptorMessage *message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
	} control;
	struct iovec iov = { data, size };
	struct msghdr header = { .msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes) };
	ssize_t len = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*message = (DescriptorMessage){ .fd = -1 };
	if (len < 0)
		return len;
	message->truncated = (header.msg_flags & MSG_TRUNC) != 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
		gsize n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS &&
		    c->cmsg_len >= CMSG_LEN(sizeof(message->sender)))
			memcpy(&message->sender, CMSG_DATA(c), sizeof(message->sender));
		for (gsize i = 0; c->cmsg_type == SCM_RIGHTS && i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (n == 1 && message->fd < 0)
				message->fd = fd;
			else
				descriptor_close_later(fd, user);
		}
	}
	return len;
}
