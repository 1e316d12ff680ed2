/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In ublk-open's place (mounted over it): what ublkd gets to see of a user who has taken hold of
 * that process. /run/wrong-opener says "COUNT FLAGS PATH": it sends COUNT descriptors of PATH,
 * opened with FLAGS ("r", "w" or "path"); none: only some text.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS 8

int main(void)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control = { 0 };
	char path[256], flags[8], text[] = "nothing";
	struct iovec iov = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[MAX_FDS];
	unsigned int count;
	FILE *file = fopen("/run/wrong-opener", "re");

	if (!file || fscanf(file, "%u %7s %255s", &count, flags, path) != 3 || count > MAX_FDS)
		return 1;
	for (unsigned int i = 0; i < count; i++) {
		fds[i] = open(path, strcmp(flags, "r") == 0   ? O_RDONLY
				    : strcmp(flags, "w") == 0 ? O_RDWR
							      : O_PATH);
		if (fds[i] < 0)
			return 1;
	}
	if (count) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	return sendmsg(STDIN_FILENO, &message, MSG_NOSIGNAL) < 0;
}
