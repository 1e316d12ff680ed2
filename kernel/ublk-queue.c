/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data plane: one queue of /dev/ublkcN on one io_uring. See ublk-queue.h.
 */
#include "ublk-queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uring-compat.h"

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
	if (!queue->states)
		return -ENOMEM;

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
	map = mmap(NULL, depth * queue->buffer_size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		ret = -errno;
		goto fail;
	}
	queue->buffers = map;
	madvise(map, depth * queue->buffer_size, MADV_NOHUGEPAGE);
	/* A child of the server has no use for other people's data. */
	madvise(map, depth * queue->buffer_size, MADV_DONTFORK);
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
		munmap(queue->buffers, queue->depth * queue->buffer_size);
	free(queue->states);
	*queue = (struct ublk_queue){ .char_fd = -1 };
}

static int queue_prep_cmd(struct ublk_queue *queue, uint32_t op, uint16_t tag, int32_t result)
{
	const struct ublksrv_io_cmd cmd = {
		.q_id = queue->id,
		.tag = tag,
		.result = result,
		.addr = (uintptr_t)ublk_queue_get_buffer(queue, tag),
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(queue->ring);

	if (!sqe)
		return -EBUSY;
	/* A driver before 6.4 knows the bare numbers only, and does not set this flag. */
	if (!(queue->flags & UBLK_F_CMD_IOCTL_ENCODE))
		op = _IOC_NR(op);
	uring_prep_cmd(sqe, sizeof(*sqe), queue->char_fd, op);
	memcpy(uring_cmd_data(sqe), &cmd, sizeof(cmd));
	sqe->user_data = UBLK_QUEUE_USER_DATA | tag;
	queue->states[tag] = UBLK_TAG_FETCHING;
	queue->fetching++;
	return 0;
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
		ret = queue_prep_cmd(queue, UBLK_U_IO_FETCH_REQ, (uint16_t)tag, 0);
		if (ret == -EBUSY) {
			ret = queue_submit(queue);
			if (ret == 0)
				ret = queue_prep_cmd(queue, UBLK_U_IO_FETCH_REQ, (uint16_t)tag, 0);
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

int ublk_queue_handle_cqe(struct ublk_queue *queue, const struct io_uring_cqe *cqe, uint16_t *tag)
{
	uint16_t t = (uint16_t)cqe->user_data;

	*tag = t;
	if (t >= queue->depth || queue->states[t] != UBLK_TAG_FETCHING)
		return -EPROTO;
	queue->fetching--;
	switch (cqe->res) {
	case UBLK_IO_RES_OK:
		queue->states[t] = UBLK_TAG_OWNED;
		return UBLK_QUEUE_REQUEST;
	case UBLK_IO_RES_NEED_GET_DATA:
		queue->states[t] = UBLK_TAG_WITHOUT_DATA;
		return UBLK_QUEUE_WANTS_DATA;
	case UBLK_IO_RES_ABORT:
	case -ECANCELED: /* 7.x, when the ring itself is going away */
		queue->states[t] = UBLK_TAG_ABORTED;
		return UBLK_QUEUE_ABORTED;
	default:
		queue->states[t] = UBLK_TAG_ABORTED;
		return cqe->res < 0 ? cqe->res : -EPROTO;
	}
}

int ublk_queue_commit(struct ublk_queue *queue, uint16_t tag, int32_t result)
{
	if (queue->states[tag] != UBLK_TAG_OWNED)
		return -EPROTO;
	return queue_prep_cmd(queue, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result);
}

int ublk_queue_get_data(struct ublk_queue *queue, uint16_t tag)
{
	if (queue->states[tag] != UBLK_TAG_WITHOUT_DATA)
		return -EPROTO;
	return queue_prep_cmd(queue, UBLK_U_IO_NEED_GET_DATA, tag, 0);
}
