/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server's table of shared memory: what it is told, what it refuses, and that a descriptor of
 * the driver's that points elsewhere touches nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/ublk-abi.h"
#include "server/shared-memory.h"

/* The tests must run whatever NDEBUG says. */
#define assert(condition)                                                               \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

#define PAGE 4096U
#define SIZE (16 * PAGE)

static int sockets[2]; /* ublkd's end, the server's */
static char answer[256];

static int make_memory(int seals, char **at)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert(fd >= 0 && ftruncate(fd, SIZE) == 0);
	*at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert(*at != MAP_FAILED);
	assert(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

/* Say it, with n times fd (n 0: without), and return what the server answers as errno. */
static int say(const char *text, int fd, unsigned int n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(3 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	const char *found;
	ssize_t len;

	if (n > 0) {
		struct cmsghdr *c = &control.align;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned int i = 0; i < n; i++)
			((int *)CMSG_DATA(c))[i] = fd;
	}
	assert(sendmsg(sockets[0], &message, 0) > 0);
	assert(shared_memory_handle_message(sockets[1]) == 0);
	len = recv(sockets[0], answer, sizeof(answer) - 1, MSG_DONTWAIT);
	assert(len > 0);
	answer[len] = '\0';
	found = strstr(answer, "\nerrno=");
	assert(found && strncmp(answer, "DONE=1\nserial=", 14) == 0);
	return atoi(found + 7);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void tells_right_from_wrong(void)
{
	char *at, *other;
	int fd = make_memory(F_SEAL_SHRINK, &at), unsealed = make_memory(0, &other);
	int before = count_fds();

	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=0\n", -1, 0) == EINVAL);
	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=0\n", unsealed, 1) ==
	       EINVAL);
	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=0\nread-only=0\n", fd, 1) == EINVAL);
	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65537\nread-only=0\n", fd, 1) == EINVAL);
	assert(say("BUFFER=1\nserial=1\nindex=256\nsize=65536\nread-only=0\n", fd, 1) == EINVAL);
	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=0\nmore", fd, 1) == EBADMSG);
	assert(say("hello", fd, 2) == EBADMSG);
	assert(say("DROP=1\nserial=1\nindex=0\n", -1, 0) == ENOENT);
	assert(say("DROP=1\nserial=1\nindex=4294967295\n", -1, 0) == ENOENT);

	assert(say("BUFFER=1\nserial=42\nindex=255\nsize=65536\nread-only=0\n", fd, 2) == 0);
	assert(strncmp(answer, "DONE=1\nserial=42\n", 17) == 0);
	assert(say("BUFFER=1\nserial=1\nindex=255\nsize=65536\nread-only=0\n", fd, 1) == EBUSY);
	assert(say("DROP=1\nserial=1\nindex=255\n", -1, 0) == 0);
	assert(say("DROP=1\nserial=1\nindex=255\n", -1, 0) == ENOENT);
	/* every descriptor that came along is closed */
	assert(count_fds() == before);
	close(fd);
	close(unsealed);
}

static void serves_in_place(void)
{
	struct shared_memory_use use = { 0 };
	char *at, *own = aligned_alloc(PAGE, SIZE);
	int fd = make_memory(F_SEAL_SHRINK, &at);
	void *buffer = own;

	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=0\n", fd, 1) == 0);
	memset(at, 'a', SIZE);
	assert(shared_memory_begin(&use, false, ublk_shmem_zc_addr(0, PAGE), PAGE, &buffer) == 0);
	assert(buffer != own && *(char *)buffer == 'a');
	memset(buffer, 'b', PAGE);
	shared_memory_end(&use, PAGE, &buffer);
	assert(buffer == own && at[PAGE] == 'b' && at[2 * PAGE] == 'a');
	/* Once only. */
	shared_memory_end(&use, PAGE, &buffer);

	/* The last byte, and what is behind it, before it, or nowhere. */
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, 0), SIZE, &buffer) == 0);
	shared_memory_end(&use, SIZE, &buffer);
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, PAGE), SIZE, &buffer) == -EIO);
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, SIZE), 1, &buffer) == -EIO);
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, UINT32_MAX), 512, &buffer) ==
	       -EIO);
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(1, 0), 512, &buffer) == -EIO);
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(65535, 0), 512, &buffer) == -EIO);
	assert(shared_memory_begin(&use, true, 1ULL << 48, 512, &buffer) == -EIO);
	assert(shared_memory_begin(&use, true, (uintptr_t)own, 512, &buffer) == -EIO);
	assert(use.slot == 0 && buffer == own);
	assert(say("DROP=1\nserial=1\nindex=0\n", -1, 0) == 0);
	assert(strstr(answer, "served=2\n"));
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, 0), 512, &buffer) == -EIO);
	close(fd);
	free(own);
}

/* Addresses that a target may not be able to use go through the tag's buffer, both ways. */
static void copies_what_is_not_aligned(void)
{
	struct shared_memory_use use = { 0 };
	char *at, *own = aligned_alloc(PAGE, SIZE);
	int fd = make_memory(F_SEAL_SHRINK, &at);
	void *buffer = own;

	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=0\n", fd, 1) == 0);
	memset(at, 'a', SIZE);
	memset(own, 0, SIZE);
	assert(shared_memory_begin(&use, false, ublk_shmem_zc_addr(0, 4), 512, &buffer) == 0);
	assert(buffer == own && own[511] == 'a' && own[512] == 0);
	memset(own, 'x', 512);
	shared_memory_end(&use, 512, &buffer);
	assert(at[4] == 'a');

	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, 512), 512, &buffer) == 0);
	memset(buffer, 'b', 512);
	assert(at[512] == 'a');
	shared_memory_end(&use, 512, &buffer);
	assert(at[511] == 'a' && at[512] == 'b' && at[1023] == 'b' && at[1024] == 'a');

	/* A read that failed brings nothing. */
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, 512), 512, &buffer) == 0);
	memset(buffer, 'c', 512);
	shared_memory_end(&use, 0, &buffer);
	assert(at[512] == 'b');
	assert(say("DROP=1\nserial=1\nindex=0\n", -1, 0) == 0);
	assert(strstr(answer, "served=0\n"));
	close(fd);
	free(own);
}

static void keeps_what_is_in_use(void)
{
	struct shared_memory_use use = { 0 };
	char *at, *own = aligned_alloc(PAGE, SIZE);
	int fd = make_memory(F_SEAL_SHRINK, &at);
	void *buffer = own;

	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=0\n", fd, 1) == 0);
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, 0), PAGE, &buffer) == 0);
	assert(say("DROP=1\nserial=1\nindex=0\n", -1, 0) == 0);
	memset(buffer, 'z', PAGE); /* still there */
	assert(at[0] == 'z');
	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=0\n", fd, 1) == EBUSY);
	shared_memory_end(&use, PAGE, &buffer);
	assert(say("BUFFER=1\nserial=1\nindex=0\nsize=65536\nread-only=1\n", fd, 1) == 0);
	/* The server could not write there, and the driver would not ask it to. */
	assert(shared_memory_begin(&use, true, ublk_shmem_zc_addr(0, 0), PAGE, &buffer) == -EIO);
	assert(shared_memory_begin(&use, false, ublk_shmem_zc_addr(0, 0), PAGE, &buffer) == 0);
	shared_memory_end(&use, PAGE, &buffer);
	assert(say("DROP=1\nserial=1\nindex=0\n", -1, 0) == 0);
	close(fd);
	free(own);
}

static void notices_the_end(void)
{
	int pipes[2];

	assert(shared_memory_can_listen(sockets[1]) && !shared_memory_can_listen(-1));
	assert(pipe(pipes) == 0 && !shared_memory_can_listen(pipes[0]));
	assert(shared_memory_handle_message(sockets[1]) == 0); /* nothing there yet */
	close(sockets[0]);
	assert(shared_memory_handle_message(sockets[1]) < 0);
}

int main(void)
{
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
	tells_right_from_wrong();
	serves_in_place();
	copies_what_is_not_aligned();
	keeps_what_is_in_use();
	notices_the_end();
	return 0;
}
