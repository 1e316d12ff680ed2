/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages about shared memory to a server that runs, one after the other: a byte (whether memory
 * comes along), then text that ends with NUL. Requests in between are at any address and stay
 * within the memory.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "kernel/ublk-abi.h"
#include "server/report.h"
#include "server/shared-memory.h"

#define MEMORY_SIZE 8192

static int make_memory(bool sealed)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_ASSERT(fd >= 0 && ftruncate(fd, MEMORY_SIZE) == 0);
	if (sealed)
		FUZZ_ASSERT(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	return fd;
}

static void send_text(int socket, const char *text, size_t len, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)text, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	FUZZ_ASSERT(sendmsg(socket, &msg, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Whatever the driver says. */
static void request(uint64_t addr, uint64_t length, bool is_read)
{
	uint8_t own[MEMORY_SIZE] = { 0 };
	struct shared_memory_use use = { 0 };
	void *buffer = own;

	if (length > sizeof(own))
		length = sizeof(own);
	if (shared_memory_begin(&use, is_read, addr, length, &buffer) == 0) {
		if (is_read)
			memset(buffer, 1, length);
		else
			FUZZ_ASSERT(memchr(buffer, 2, length) == NULL);
		shared_memory_end(&use, length, &buffer);
	}
	FUZZ_ASSERT(buffer == own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1), drop[64], answer[256];
	int pair[2], len;

	FUZZ_ASSERT(text && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	if (size > 0)
		memcpy(text, data, size);
	for (size_t at = 0; at + 1 < size;) {
		unsigned int kind = (uint8_t)text[at++];
		size_t n = strlen(text + at);
		int fd = kind & 1 ? make_memory(kind & 2) : -1;

		if (n > 0) {
			send_text(pair[0], text + at, n, fd);
			FUZZ_ASSERT(shared_memory_handle_message(pair[1]) == 0);
			len = (int)recv(pair[0], answer, sizeof(answer) - 1, MSG_DONTWAIT);
			FUZZ_ASSERT(len > 7 && memcmp(answer, "DONE=1\n", 7) == 0);
		}
		if (fd >= 0)
			close(fd);
		at += n + 1;
		if (at + 16 <= size) {
			uint64_t words[2];

			memcpy(words, data + at, sizeof(words));
			request(words[0], words[1], kind & 4);
			request(ublk_shmem_zc_addr(kind >> 4, (uint32_t)words[1] % MEMORY_SIZE),
				words[0] % MEMORY_SIZE, kind & 4);
		}
	}
	/* as it was, for the next one */
	for (unsigned int i = 0; i < SHARED_MEMORY_BUFFERS; i++) {
		len = snprintf(drop, sizeof(drop), "DROP=1\nserial=1\nindex=%u\n", i);
		send_text(pair[0], drop, (size_t)len, -1);
		shared_memory_handle_message(pair[1]);
		recv(pair[0], answer, sizeof(answer), MSG_DONTWAIT);
	}
	close(pair[0]);
	close(pair[1]);
	free(text);
	return 0;
}
