/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that the device's users share with the server. See shared-memory.h. */
#include "shared-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "kernel/ublk-abi.h"
#include "report.h"

#define MESSAGE_MAX 256
/* Targets are promised buffers that begin with a page; the driver lets users begin anywhere. */
#define ALIGNMENT 4096U

/*
 * Only the main thread maps and unmaps. The driver waits for the requests in a buffer before it
 * says that it has forgotten it, so none can be under way when the memory is taken back; but the
 * memory safety of this process shall not hang on what others do in order, so they are counted.
 */
struct slot {
	atomic_bool open;
	atomic_ullong begun, ended; /* requests; equal: none is under way */
	atomic_ullong not_served;   /* of these: refused, or copied after all */
	unsigned long long before;  /* how many had ended when it was opened */
	uint8_t *base;              /* NULL: nothing is mapped */
	size_t size;
	bool read_only;
} __attribute__((aligned(64)));

static struct slot slots[SHARED_MEMORY_BUFFERS];

/* -------------------------------------------------------------------------------------------------
 * In the queues' threads
 */

int shared_memory_begin(struct shared_memory_use *use, bool is_read, uint64_t addr, uint64_t length,
			void **buffer)
{
	uint16_t index = ublk_shmem_zc_index(addr);
	uint32_t offset = ublk_shmem_zc_offset(addr);
	struct slot *slot;
	uint8_t *at;

	/* What NEED_GET_DATA makes of the address has bits above the index. */
	if (index >= SHARED_MEMORY_BUFFERS || addr != ublk_shmem_zc_addr(index, offset))
		return -EIO;
	slot = &slots[index];
	atomic_fetch_add(&slot->begun, 1);
	if (!atomic_load(&slot->open) || offset > slot->size || length > slot->size - offset ||
	    (is_read && slot->read_only)) {
		atomic_fetch_add(&slot->not_served, 1);
		atomic_fetch_add(&slot->ended, 1);
		return -EIO;
	}
	at = slot->base + offset;
	use->slot = index + 1U;
	use->own = *buffer;
	use->copy_to = NULL;
	if ((uintptr_t)at % ALIGNMENT == 0) {
		*buffer = at;
		return 0;
	}
	atomic_fetch_add(&slot->not_served, 1);
	if (is_read)
		use->copy_to = at;
	else
		memcpy(*buffer, at, length);
	return 0;
}

void shared_memory_end(struct shared_memory_use *use, uint64_t length, void **buffer)
{
	if (use->slot == 0)
		return;
	if (use->copy_to)
		memcpy(use->copy_to, use->own, length);
	*buffer = use->own;
	atomic_fetch_add(&slots[use->slot - 1].ended, 1);
	use->slot = 0;
}

/* -------------------------------------------------------------------------------------------------
 * In the main thread
 */

static bool slot_is_idle(struct slot *slot)
{
	/* In this order: a request that begins in between makes it look busy, not idle. */
	unsigned long long ended = atomic_load(&slot->ended);

	return atomic_load(&slot->begun) == ended;
}

/* What was closed while in use, if ever, is unmapped when its place is wanted. */
static void slot_clear(struct slot *slot)
{
	if (!slot->base || atomic_load(&slot->open) || !slot_is_idle(slot))
		return;
	munmap(slot->base, slot->size);
	slot->base = NULL;
}

/*
 * ublkd has looked at the memory already; but what this process may die of (a memory that can be
 * made shorter under its mapping) it sees to itself.
 */
static int check_memory(int fd, uint64_t size)
{
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (fd < 0 || seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EINVAL;
	if (size == 0 || size > SIZE_MAX || fstat(fd, &st) < 0 || (uint64_t)st.st_size < size)
		return -EINVAL;
	return 0;
}

static int add_buffer(unsigned int index, uint64_t size, bool read_only, int fd)
{
	struct slot *slot;
	void *base;
	int ret;

	if (index >= SHARED_MEMORY_BUFFERS)
		return -EINVAL;
	slot = &slots[index];
	slot_clear(slot);
	if (slot->base)
		return -EBUSY;
	ret = check_memory(fd, size);
	if (ret < 0)
		return ret;
	/*
	 * With its pages, which are there: no request shall have to find them. It holds what others
	 * read and write, which no child and no core dump of this process shall.
	 */
	base = mmap(NULL, size, read_only ? PROT_READ : PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	madvise(base, size, MADV_DONTFORK);
	madvise(base, size, MADV_DONTDUMP);
	slot->base = base;
	slot->size = size;
	slot->read_only = read_only;
	slot->before = atomic_load(&slot->ended);
	atomic_store(&slot->not_served, 0);
	atomic_store(&slot->open, true);
	return 0;
}

static int drop_buffer(unsigned int index, unsigned long long *served)
{
	struct slot *slot;

	if (index >= SHARED_MEMORY_BUFFERS || !atomic_load(&slots[index].open))
		return -ENOENT;
	slot = &slots[index];
	atomic_store(&slot->open, false);
	*served = atomic_load(&slot->ended) - slot->before - atomic_load(&slot->not_served);
	slot_clear(slot);
	if (slot->base)
		server_log("shared memory %u was taken back while requests were in it", index);
	return 0;
}

/* Returns the message's length with *fd (-1: none came), or negative errno. */
static ssize_t receive(int socket, char text[MESSAGE_MAX], int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = text, .iov_len = MESSAGE_MAX - 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fds[REPORT_MAX_FILES];
	ssize_t len;
	size_t n;

	*fd = -1;
	len = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	n = report_get_files(&msg, fds);
	for (size_t i = 1; i < n; i++)
		close(fds[i]);
	if (n > 0)
		*fd = fds[0];
	return len;
}

bool shared_memory_can_listen(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET;
}

int shared_memory_handle_message(int socket)
{
	unsigned int serial = 0, index = 0, read_only = 0;
	unsigned long long size = 0, served = 0;
	char text[MESSAGE_MAX];
	int fd, ret, end = 0;
	ssize_t len;

	len = receive(socket, text, &fd);
	if (len == -EAGAIN || len == -EINTR)
		return 0;
	if (len <= 0)
		return len < 0 ? (int)len : -EPIPE;
	if (sscanf(text, "BUFFER=1\nserial=%u\nindex=%u\nsize=%llu\nread-only=%u\n%n", &serial,
		   &index, &size, &read_only, &end) == 4 &&
	    end == len) {
		ret = add_buffer(index, size, read_only != 0, fd);
		if (ret == 0)
			server_log("shared memory %u: %llu bytes%s", index, size,
				   read_only ? ", read-only" : "");
	} else if (sscanf(text, "DROP=1\nserial=%u\nindex=%u\n%n", &serial, &index, &end) == 2 &&
		   end == len) {
		ret = drop_buffer(index, &served);
		if (ret == 0)
			server_log("shared memory %u: served %llu requests without a copy", index,
				   served);
	} else {
		ret = -EBADMSG;
	}
	if (fd >= 0)
		close(fd);
	len = snprintf(text, sizeof(text), "DONE=1\nserial=%u\nerrno=%d\nserved=%llu\n", serial,
		       -ret, served);
	/* One question at a time, so there is room for the answer, or nobody who wants it. */
	if (send(socket, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len)
		return -EPIPE;
	return 0;
}
