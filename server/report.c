/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the server tells the one who started it. See report.h. */
#include "report.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Who asked for --receive-file has the descriptor at hand: this only bounds a mistake. */
#define RECEIVE_TIMEOUT_MS 10000

size_t report_format_ready(const struct ublk_limits *limits, char text[REPORT_MAX])
{
	const struct ublk_param *table;
	size_t n, len;

	len = (size_t)snprintf(text, REPORT_MAX, "READY=1\n");
	table = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, REPORT_MAX - len, "%s=%llu\n", table[i].name,
					(unsigned long long)ublk_params_get(limits, &table[i]));
	return len;
}

size_t report_format_error(const struct server_error *error, char text[REPORT_MAX])
{
	size_t len, start;

	len = (size_t)snprintf(text, REPORT_MAX, "ERRNO=%d\nERROR=", error->err);
	start = len;
	len += (size_t)snprintf(text + len, REPORT_MAX - len, "%s\n", error->text);
	/* A file's name may hold anything, a line that looks like another key too. */
	for (size_t i = start; i < len - 1; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	}
	return len;
}

int report_send(int fd, const char *text, size_t len)
{
	ssize_t ret;

	if (fd < 0)
		return 0;
	/* A pipe that is read promptly takes this in one piece too: REPORT_MAX is PIPE_BUF. */
	do {
		ret = send(fd, text, len, MSG_NOSIGNAL);
		if (ret < 0 && errno == ENOTSOCK)
			ret = write(fd, text, len);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return (size_t)ret == len ? 0 : -EIO;
}

size_t report_get_files(struct msghdr *msg, int files[REPORT_MAX_FILES])
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	size_t n;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return 0;
	n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(files, CMSG_DATA(cmsg), n * sizeof(int));
	return n;
}

int report_receive_file(int fd, int *file, char path[PATH_MAX], struct server_error *error)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = path, .iov_len = PATH_MAX - 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int files[REPORT_MAX_FILES];
	ssize_t ret;
	size_t n;

	do
		ret = poll(&pfd, 1, RECEIVE_TIMEOUT_MS);
	while (ret < 0 && errno == EINTR);
	if (ret == 0)
		return server_error_set(error, ETIMEDOUT,
					"no backing file came over the report socket within %d s",
					RECEIVE_TIMEOUT_MS / 1000);
	do
		ret = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return server_error_set(
			error, errno, "cannot receive the backing file from the report socket: %s",
			strerror(errno));
	path[ret] = '\0';
	*file = -1;
	if (!CMSG_FIRSTHDR(&msg) && path[0] == '/' && strlen(path) == (size_t)ret &&
	    !(msg.msg_flags & MSG_TRUNC))
		return 0;
	n = report_get_files(&msg, files);
	if (n == 0)
		return server_error_set(error, EBADMSG,
					"the first message on the report socket carries neither a "
					"descriptor nor the absolute path of a backing file");
	/* What did not fit at all was closed by the kernel. */
	if (n != 1 || (msg.msg_flags & MSG_CTRUNC)) {
		for (size_t i = 0; i < n; i++)
			close(files[i]);
		return server_error_set(error, EBADMSG,
					"the first message on the report socket does not carry "
					"exactly one descriptor");
	}
	*file = files[0];
	return 0;
}

/* A socket connected to $NOTIFY_SOCKET, or -1. */
static int connect_notify(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t path_len;
	int fd;

	/* A path, or with '@' a name in the abstract namespace; vsock is for virtual machines. */
	if (!path || (path[0] != '/' && path[0] != '@'))
		return -1;
	path_len = strlen(path);
	if (path_len < 2 || path_len >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, path_len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* The length decides where an abstract name ends: no NUL may be counted. */
	if (connect(fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len)) < 0) {
		server_log("cannot notify %s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static int notify_fd = -1;

void report_notify_open(void)
{
	notify_fd = connect_notify();
}

void report_trouble(int err, const char *format, ...)
{
	char line[1024], text[sizeof(line) + 64];
	va_list args;
	int len;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	server_log("%s", line);
	if (notify_fd < 0)
		return;
	len = snprintf(text, sizeof(text), "ERRNO=%d\nSTATUS=%s", err < 0 ? -err : err, line);
	/* No request waits for systemd: it is in the log all the same. */
	send(notify_fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void report_notify(const char *format, ...)
{
	char text[REPORT_MAX];
	va_list args;
	int fd, len;

	fd = notify_fd >= 0 ? notify_fd : connect_notify();
	if (fd < 0)
		return;
	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof(text) && send(fd, text, (size_t)len, MSG_NOSIGNAL) < 0)
		server_log("cannot notify $NOTIFY_SOCKET: %s", strerror(errno));
	if (fd != notify_fd)
		close(fd);
}
