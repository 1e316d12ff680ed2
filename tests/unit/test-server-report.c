/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the server says to the one who started it, and to systemd. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/report.h"

static char text[REPORT_MAX];

static void ready_is_one_message_of_lines(void)
{
	static const char expected[] = "READY=1\n"
				       "size=1099511627776\n"
				       "logical-block-size=4096\n"
				       "physical-block-size=8192\n"
				       "io-min=1\n"
				       "io-opt=2\n"
				       "max-io-size=524288\n"
				       "chunk-size=3\n"
				       "virt-boundary-mask=4\n"
				       "dma-alignment=5\n"
				       "max-segments=6\n"
				       "max-segment-size=7\n"
				       "segment-boundary-mask=18446744073709551615\n"
				       "read-only=1\n"
				       "rotational=0\n"
				       "volatile-cache=1\n"
				       "fua=1\n"
				       "max-discard-size=1073741824\n"
				       "discard-granularity=8\n"
				       "discard-alignment=9\n"
				       "max-write-zeroes-size=10\n";
	const struct ublk_limits limits = {
		.size = 1ULL << 40,
		.logical_block_size = 4096,
		.physical_block_size = 8192,
		.io_min = 1,
		.io_opt = 2,
		.max_io_size = 524288,
		.chunk_size = 3,
		.virt_boundary_mask = 4,
		.dma_alignment = 5,
		.max_segments = 6,
		.max_segment_size = 7,
		.segment_boundary_mask = UINT64_MAX,
		.read_only = true,
		.volatile_cache = true,
		.fua = true,
		.max_discard_size = 1U << 30,
		.discard_granularity = 8,
		.discard_alignment = 9,
		.max_write_zeroes_size = 10,
	};
	size_t len = report_format_ready(&limits, text);

	assert(len == strlen(expected));
	assert(memcmp(text, expected, len) == 0);
}

static void longest_ready_fits(void)
{
	struct ublk_limits limits;
	size_t len;

	memset(&limits, 0xff, sizeof(limits));
	limits.read_only = limits.rotational = limits.volatile_cache = limits.fua = true;
	len = report_format_ready(&limits, text);
	assert(len < REPORT_MAX && text[len - 1] == '\n');
}

static void error_is_two_lines_whatever_it_says(void)
{
	struct server_error error;
	size_t len;

	assert(server_error_set(&error, ENOENT, "no %s", "file") == -ENOENT);
	len = report_format_error(&error, text);
	assert(len == strlen("ERRNO=2\nERROR=no file\n"));
	assert(memcmp(text, "ERRNO=2\nERROR=no file\n", len) == 0);

	/* A file's name must not be able to say READY. */
	assert(server_error_set(&error, -EACCES, "no \n%s\x7f", "\nREADY=1\n") == -EACCES);
	len = report_format_error(&error, text);
	assert(len == strlen("ERRNO=13\nERROR=no ??READY=1??\n"));
	assert(memcmp(text, "ERRNO=13\nERROR=no ??READY=1??\n", len) == 0);

	memset(error.text, 'x', sizeof(error.text) - 1);
	error.text[sizeof(error.text) - 1] = '\0';
	len = report_format_error(&error, text);
	assert(len <= REPORT_MAX && text[len - 1] == '\n');
}

static void sends_on_sockets_and_pipes(void)
{
	char got[16];
	int fds[2];

	assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	assert(report_send(fds[0], "READY=1\n", 8) == 0);
	assert(read(fds[1], got, sizeof(got)) == 8);
	close(fds[1]);
	assert(report_send(fds[0], "READY=1\n", 8) == -EPIPE);
	close(fds[0]);

	assert(pipe(fds) == 0);
	assert(report_send(fds[1], "READY=1\n", 8) == 0);
	assert(read(fds[0], got, sizeof(got)) == 8);
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	assert(report_send(fds[1], "READY=1\n", 8) == -EPIPE);
	close(fds[1]);

	assert(report_send(-1, "READY=1\n", 8) == 0);
}

static void send_descriptors(int fd, unsigned int n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = text, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[4] = { 0, 1, 2, 0 };

	if (n) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
	}
	assert(sendmsg(fd, &msg, 0) == 1);
}

static void receives_exactly_one_descriptor(void)
{
	struct server_error error;
	struct stat sent, got;
	char path[PATH_MAX];
	int fds[2], file, leaked;

	assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	send_descriptors(fds[0], 1);
	assert(report_receive_file(fds[1], &file, path, &error) == 0);
	assert(file >= 0 && (fcntl(file, F_GETFD) & FD_CLOEXEC));
	assert(fstat(0, &sent) == 0 && fstat(file, &got) == 0 && sent.st_ino == got.st_ino);
	leaked = file;
	close(file);

	send_descriptors(fds[0], 0);
	assert(report_receive_file(fds[1], &file, path, &error) == -EBADMSG);
	/* None of several may leak. */
	send_descriptors(fds[0], 3);
	assert(report_receive_file(fds[1], &file, path, &error) == -EBADMSG);
	assert(fcntl(leaked, F_GETFD) == -1);
	close(fds[0]);
	assert(report_receive_file(fds[1], &file, path, &error) == -EBADMSG);
	close(fds[1]);
	assert(report_receive_file(0, &file, path, &error) < 0);
}

static void receives_a_path(void)
{
	struct server_error error;
	char path[PATH_MAX];
	int fds[2], file = 0;

	assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	assert(send(fds[0], "/home/alice/disk.img", 20, 0) == 20);
	assert(report_receive_file(fds[1], &file, path, &error) == 0);
	assert(file == -1 && strcmp(path, "/home/alice/disk.img") == 0);
	/* Relative to what? And a NUL would hide the rest. */
	assert(send(fds[0], "disk.img", 8, 0) == 8);
	assert(report_receive_file(fds[1], &file, path, &error) == -EBADMSG);
	assert(send(fds[0], "/a\0b", 4, 0) == 4);
	assert(report_receive_file(fds[1], &file, path, &error) == -EBADMSG);
	close(fds[0]);
	close(fds[1]);
}

static void notifies(const struct sockaddr_un *address, size_t len, const char *name)
{
	char got[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	assert(bind(fd, (const struct sockaddr *)address, (socklen_t)len) == 0);
	setenv("NOTIFY_SOCKET", name, 1);
	report_notify("READY=%d\nSTATUS=x", 1);
	assert(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) > 0);
	assert(strcmp(got, "READY=1\nSTATUS=x") == 0);
	close(fd);
}

static void notifies_by_path_and_abstract_name(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char name[64];

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test-server-report-%d",
		 getpid());
	notifies(&address, sizeof(address), address.sun_path);
	unlink(address.sun_path);

	snprintf(name, sizeof(name), "@test-server-report-%d", getpid());
	strcpy(address.sun_path, name);
	address.sun_path[0] = '\0';
	notifies(&address, offsetof(struct sockaddr_un, sun_path) + strlen(name), name);

	/* Nothing there, nothing understood, nothing set: no harm. */
	report_notify("READY=1");
	setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
	report_notify("READY=1");
	unsetenv("NOTIFY_SOCKET");
	report_notify("READY=1");
}

/* A queue that logs is not stopped by who does not read. */
static void logs_without_waiting(void)
{
	char byte = 'x', line[64];
	int saved = dup(STDERR_FILENO), fds[2];

	assert(pipe2(fds, O_NONBLOCK) == 0);
	while (write(fds[1], &byte, 1) == 1)
		;
	assert(fcntl(fds[1], F_SETFL, 0) == 0 && dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
	server_log("lost");
	while (read(fds[0], line, sizeof(line)) > 0)
		;
	server_log("read");
	assert(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
	assert(read(fds[0], line, sizeof(line)) == 18 && memcmp(line, "ublk-server: read\n", 18) == 0);
	close(saved);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	/* The descriptors that are sent, whatever the test runner's own are. */
	assert(freopen("/dev/null", "r", stdin));
	ready_is_one_message_of_lines();
	longest_ready_fits();
	error_is_two_lines_whatever_it_says();
	sends_on_sockets_and_pipes();
	receives_exactly_one_descriptor();
	receives_a_path();
	notifies_by_path_and_abstract_name();
	logs_without_waiting();
	return 0;
}
