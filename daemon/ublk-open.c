/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ublk-open r|rw: run by systemd for ublkd as the owner of a block device (see open.c). Its
 * standard input is a SOCK_SEQPACKET socket, from which comes an O_PATH descriptor of the node;
 * back goes the descriptor of the device, open for reading or for both, or an errno in decimal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int receive(int socket)
{
	union control control = { 0 };
	char text[16];
	struct iovec iov = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	int fd = -1;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) > 0 && CMSG_FIRSTHDR(&message) &&
	    control.header.cmsg_type == SCM_RIGHTS &&
	    control.header.cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

static int answer(int socket, int fd, int err)
{
	union control control = { .header = { .cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS,
					      .cmsg_len = CMSG_LEN(sizeof(fd)) } };
	char text[16];
	struct iovec iov = { text, (size_t)snprintf(text, sizeof(text), "%d", err) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	int node, fd, flags;
	char path[32];

	if (argc != 2 || (strcmp(argv[1], "r") && strcmp(argv[1], "rw"))) {
		fprintf(stderr, "usage: ublk-open r|rw, by ublkd\n");
		return 2;
	}
	flags = strcmp(argv[1], "r") ? O_RDWR : O_RDONLY;
	node = receive(STDIN_FILENO);
	if (node < 0) {
		fprintf(stderr, "ublk-open: no descriptor on the standard input\n");
		return 2;
	}
	/* The very node that ublkd has looked at, whatever its name leads to by now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", node);
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return answer(STDIN_FILENO, fd, fd < 0 ? errno : 0);
}
