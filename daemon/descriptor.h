/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File descriptors: those that came over the bus, and those that go to others. */
#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <sys/socket.h>
#include <sys/types.h>

/* For descriptors whose sender is not known. */
#define DESCRIPTOR_OF_NOBODY ((uid_t)-1)

/*
 * Close a descriptor that `user` sent, elsewhere. close() asks the file's owner: on a FUSE file it
 * waits for the FUSE server's answer, and that server may be the hostile caller; the last one of a
 * block device waits until that is written back. So descriptors from the bus are never closed in
 * the main loop, and neither are sockets that a user can write to: what is unread in them goes with
 * them.
 * Below 0 it is none, and nothing is done.
 */
void descriptor_close_later(int fd, uid_t user);

/* The same for all that a message carried; `fds` is emptied. NULL is allowed. */
void descriptor_close_list_later(GUnixFDList *fds, uid_t user);

/* The same for messages on this connection that should carry none. */
void descriptor_filter_messages(GDBusConnection *connection);

/*
 * A duplicate (CLOEXEC, the caller's) of the descriptor that a message's handle refers to, or -1
 * with `error`. The handle is the peer's word: below 0 or beyond the list it is refused.
 */
int descriptor_get(GUnixFDList *fds, gint32 handle, const char *option, GError **error);

/*
 * The process behind a pidfd, as a pid in this process's pid namespace, or -1 with `error` if it is
 * no pidfd, its process has exited, or it lives in a pid namespace that is not below this one.
 */
pid_t descriptor_get_pid(int pidfd, const char *option, GError **error);

/* Room for the control data of a message with one descriptor; what is in it does not matter. */
typedef union {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
} DescriptorControl;

/* What came with a message. */
typedef struct {
	struct ucred sender; /* pid 0: the socket does not tell */
	int fd;              /* the caller's; -1: not exactly one */
	gboolean truncated;
} DescriptorMessage;

/*
 * recvmsg() without waiting, from a socket that `user` can write to and, so that it does not wait,
 * not read from: one of a pair that report_open() made. All descriptors are taken,
 * since those that there is no room for would be closed here and now; all but a single one are
 * closed later, and that one too if the caller does not take it out of `message`.
 */
ssize_t descriptor_receive(int socket, void *data, gsize size, uid_t user,
			   DescriptorMessage *message);

/* Have sendmsg() send `fd` along with `message`, which points into `control` from then on. */
void descriptor_attach(struct msghdr *message, DescriptorControl *control, int fd);
