/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes to a server before it starts, as one message: the path of its backing file or
 * descriptors; and what it says of an error, whatever the file's name. The first byte: how many
 * descriptors.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "server/report.h"

#define MAX_FILES 4

static void send_message(int fd, const uint8_t *data, size_t size, unsigned int files)
{
	static int null = -1;
	int fds[MAX_FILES];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (null < 0)
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (unsigned int i = 0; i < MAX_FILES; i++)
		fds[i] = null;
	if (files > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(files * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(files * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, files * sizeof(int));
	}
	sendmsg(fd, &msg, MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[PATH_MAX], text[REPORT_MAX], name[2048];
	struct server_error error = { 0 };
	size_t len, lines = 0;
	int pair[2], file = -1;

	if (size == 0)
		return 0;
	FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	send_message(pair[0], data + 1, size - 1, data[0] % (MAX_FILES + 1));
	close(pair[0]);
	if (report_receive_file(pair[1], &file, path, &error) < 0) {
		FUZZ_ASSERT(error.err && error.text[0] && file < 0);
	} else if (file >= 0) {
		close(file);
	} else {
		FUZZ_ASSERT(path[0] == '/' && strlen(path) == size - 1);
	}
	close(pair[1]);

	len = size < sizeof(name) ? size : sizeof(name) - 1;
	memcpy(name, data, len);
	name[len] = '\0';
	server_error_set(&error, 5, "cannot open %s", name);
	len = report_format_error(&error, text);
	FUZZ_ASSERT(len < sizeof(text) && text[len - 1] == '\n');
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	FUZZ_ASSERT(lines == 2);
	return 0;
}
