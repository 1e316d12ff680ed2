/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data plane: one queue of /dev/ublkcN on one io_uring. See ublk-queue.h.
 */
#include "ublk-queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t round_up_to(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* The driver takes no other size than this for a queue of that depth. */
static size_t queue_descs_size(unsigned int depth, size_t page_size)
{
	return round_up_to(depth * sizeof(struct ublksrv_io_desc), page_size);
}

int ublk_queue_init(struct ublk_queue *queue, struct io_uring *ring, int char_fd, uint16_t id,
		    uint16_t depth, uint32_t max_io_buf_bytes, uint64_t flags)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
	off_t offset;
	void *map;
	int ret;

	*queue = (struct ublk_queue){
		.ring = ring,
		.char_fd = char_fd,
		.id = id,
		.depth = depth,
		.flags = flags,
		.descs_size = queue_descs_size(depth, page_size),
		.buffer_size = round_up_to(max_io_buf_bytes, page_size),
	};
	if (depth == 0 || depth > UBLK_MAX_QUEUE_DEPTH || max_io_buf_bytes == 0)
		return -EINVAL;

	queue->states = calloc(depth, sizeof(*queue->states));
	queue->swapped = calloc(depth, sizeof(*queue->swapped));
	queue->populated = calloc(depth, sizeof(*queue->populated));
	if (!queue->states || !queue->swapped || !queue->populated) {
		ret = -ENOMEM;
		goto fail;
	}

	/*
	 * Read only, and without asking for more: the driver refuses a writable mapping. Queues lie
	 * apart by the size of the deepest possible one.
	 */
	offset = UBLKSRV_CMD_BUF_OFFSET +
		 (off_t)id * (off_t)queue_descs_size(UBLK_MAX_QUEUE_DEPTH, page_size);
	map = mmap(NULL, queue->descs_size, PROT_READ, MAP_SHARED, char_fd, offset);
	if (map == MAP_FAILED) {
		ret = -errno;
		goto fail;
	}
	queue->descs = map;

	/*
	 * Address space for every tag, pages only for those that are used. Without MADV_NOHUGEPAGE
	 * the first 4 KiB request of an idle device would cost 2 MiB where huge pages are "always".
	 */
	map = mmap(NULL, 2 * depth * queue->buffer_size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		ret = -errno;
		goto fail;
	}
	queue->buffers = map;
	madvise(map, 2 * depth * queue->buffer_size, MADV_NOHUGEPAGE);
	/* A child of the server has no use for other people's data. */
	madvise(map, 2 * depth * queue->buffer_size, MADV_DONTFORK);
	return 0;

fail:
	ublk_queue_exit(queue);
	return ret;
}

void ublk_queue_exit(struct ublk_queue *queue)
{
	if (queue->descs)
		munmap((void *)queue->descs, queue->descs_size);
	if (queue->buffers)
		munmap(queue->buffers, 2 * queue->depth * queue->buffer_size);
	free(queue->states);
	free(queue->swapped);
	free(queue->populated);
	*queue = (struct ublk_queue){ .char_fd = -1 };
}

void ublk_queue_populate_slow(struct ublk_queue *queue, uint16_t tag, uint32_t bytes)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

	/* Linux 5.14. Without it, or without memory, everything works as well, only slower. */
	madvise(ublk_queue_get_buffer(queue, tag), round_up_to(bytes, page_size),
		MADV_POPULATE_WRITE);
	queue->populated[tag] = bytes;
	queue->any_populated = true;
}

void ublk_queue_give_back(struct ublk_queue *queue)
{
	madvise(queue->buffers, 2 * queue->depth * queue->buffer_size, MADV_DONTNEED);
	memset(queue->populated, 0, queue->depth * sizeof(*queue->populated));
	queue->any_populated = false;
}

void ublk_queue_use_registered(struct ublk_queue *queue, int index)
{
	queue->char_fd = index;
	queue->sqe_flags = IOSQE_FIXED_FILE;
}

static int queue_submit(struct ublk_queue *queue)
{
	int ret;

	do
		ret = io_uring_submit(queue->ring);
	while (ret == -EINTR || ret == -EAGAIN);
	return ret < 0 ? ret : 0;
}

int ublk_queue_fetch_all(struct ublk_queue *queue)
{
	struct io_uring_cqe *cqe;
	unsigned int head;
	int ret;

	for (unsigned int tag = 0; tag < queue->depth; tag++) {
		ret = ublk_queue_prep_cmd(queue, UBLK_U_IO_FETCH_REQ, (uint16_t)tag, 0);
		if (ret == -EBUSY) {
			ret = queue_submit(queue);
			if (ret == 0)
				ret = ublk_queue_prep_cmd(queue, UBLK_U_IO_FETCH_REQ, (uint16_t)tag,
							  0);
		}
		if (ret < 0)
			return ret;
	}
	ret = queue_submit(queue);
	if (ret < 0)
		return ret;

	/*
	 * The driver takes or refuses a fetch while it is submitted. What it took completes when
	 * the device is started, which nobody does before we have said that we are ready: so all
	 * that can be here now is bad news (or, on a device that is being recovered, requests; they
	 * stay).
	 */
	io_uring_for_each_cqe(queue->ring, head, cqe)
	{
		if ((cqe->user_data & UBLK_QUEUE_USER_DATA) && cqe->res < 0)
			return cqe->res;
	}
	return 0;
}

int ublk_queue_get_data(struct ublk_queue *queue, uint16_t tag)
{
	if (queue->states[tag] != UBLK_TAG_WITHOUT_DATA)
		return -EPROTO;
	return ublk_queue_prep_cmd(queue, UBLK_U_IO_NEED_GET_DATA, tag, 0);
}
