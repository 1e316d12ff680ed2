/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data plane: one queue of /dev/ublkcN on one io_uring.
 *
 * For each tag (0 … depth - 1) one command is always on one side of the line: with the driver,
 * which completes it when there is a request, or with the server, which commits the request's
 * result and fetches the next in the same command. All commands of a queue, from the first fetch
 * on, must come from the thread that set up the ring: the driver remembers who fetched, and refuses
 * anybody else.
 *
 * This is the copying path: the driver copies a write's data into the tag's buffer before the
 * server sees the request, and a read's data out of it when the server commits. The buffers are
 * reserved memory, given pages when first touched.
 *
 * What is needed for each request is inline: calls and their saved registers were a third of what
 * the server itself does for one.
 *
 * Functions prepare SQEs; the caller submits the ring. Errors are negative errno.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include <liburing.h>

#include "ublk-abi.h"
#include "uring-compat.h"

/* user_data of this queue's commands has this bit; all other values are the caller's own. */
#define UBLK_QUEUE_USER_DATA (1ULL << 63)

/* What a completion meant. */
enum ublk_queue_event {
	UBLK_QUEUE_REQUEST, /* the tag's descriptor (and, for a write, its buffer) holds a request
			     */
	UBLK_QUEUE_WANTS_DATA, /* a write without its data: ublk_queue_get_data() brings it */
	UBLK_QUEUE_ABORTED,    /* the device goes; the driver does not want this tag again */
};

enum ublk_tag_state {
	UBLK_TAG_NEW,          /* never fetched */
	UBLK_TAG_FETCHING,     /* with the driver */
	UBLK_TAG_OWNED,        /* with the server: a request to be committed */
	UBLK_TAG_WITHOUT_DATA, /* with the server: a write whose data was not asked for yet */
	UBLK_TAG_ABORTED,
};

struct ublk_queue {
	struct io_uring *ring; /* the caller's */
	int char_fd;           /* the caller's; or its index among the ring's registered files */
	uint8_t sqe_flags;     /* of every command */
	uint16_t id;
	uint16_t depth;
	uint64_t flags; /* of the device, UBLK_F_* */
	const struct ublksrv_io_desc *descs;
	size_t descs_size;
	uint8_t *buffers;    /* two for each tag */
	uint8_t *swapped;    /* 1 where a tag uses its second one */
	size_t buffer_size;  /* of each; a multiple of the page size */
	uint32_t *populated; /* of each tag's present buffer: bytes that surely have pages */
	bool any_populated;
	uint8_t *states;       /* enum ublk_tag_state of each tag */
	unsigned int fetching; /* how many tags are with the driver */
};

/*
 * Map queue `id` of the device that `char_fd` (open for reading and writing) is. depth,
 * max_io_buf_bytes and flags are those of the device's dev_info. Neither the ring nor the
 * descriptor becomes the queue's. -EINVAL: there is no such queue, or the depth is not the
 * device's; -EBUSY: the device is served by another process.
 */
int ublk_queue_init(struct ublk_queue *queue, struct io_uring *ring, int char_fd, uint16_t id,
		    uint16_t depth, uint32_t max_io_buf_bytes, uint64_t flags);

/*
 * From now on name the char device by its index among the files that are registered with the ring:
 * that saves a look-up for each command. Before the first fetch.
 */
void ublk_queue_use_registered(struct ublk_queue *queue, int index);

/* Unmap; only when no command is with the driver any more, or the ring is gone. Zeroed: no-op. */
void ublk_queue_exit(struct ublk_queue *queue);

/*
 * Prepare and submit the first fetch of every tag. On 0 the driver has them all. -ENODEV: the
 * device is being stopped; anything else is the driver's refusal.
 */
int ublk_queue_fetch_all(struct ublk_queue *queue);

/*
 * See to it that the first `bytes` of the tag's buffer have pages. Where nobody has written yet
 * there is the page of zeroes that all processes share, and for that the driver takes a way that
 * costs a tenth of a request (Linux 6.12). Once for each buffer, so call it for each read and
 * write.
 */
void ublk_queue_populate_slow(struct ublk_queue *queue, uint16_t tag, uint32_t bytes);

static inline void ublk_queue_populate(struct ublk_queue *queue, uint16_t tag, uint32_t bytes)
{
	if (bytes > queue->populated[tag])
		ublk_queue_populate_slow(queue, tag, bytes);
}

/* Give the pages of all buffers back to the system; only while the server has no request. */
void ublk_queue_give_back(struct ublk_queue *queue);

/* Ask for the data of a write that came without. Takes one SQE; -EBUSY as above. */
int ublk_queue_get_data(struct ublk_queue *queue, uint16_t tag);

static inline const struct ublksrv_io_desc *ublk_queue_get_desc(const struct ublk_queue *queue,
								uint16_t tag)
{
	return &queue->descs[tag];
}

static inline void *ublk_queue_get_buffer(const struct ublk_queue *queue, uint16_t tag)
{
	return queue->buffers + (2 * (size_t)tag + queue->swapped[tag]) * queue->buffer_size;
}

/* Of this file: a command of a tag, 0 or -EBUSY when the submission queue is full. */
static inline int ublk_queue_prep_cmd(struct ublk_queue *queue, uint32_t op, uint16_t tag,
				      int32_t result)
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
	sqe->flags = queue->sqe_flags;
	memcpy(uring_cmd_data(sqe), &cmd, sizeof(cmd));
	sqe->user_data = UBLK_QUEUE_USER_DATA | tag;
	queue->states[tag] = UBLK_TAG_FETCHING;
	queue->fetching++;
	return 0;
}

/*
 * Make sense of a completion whose user_data has UBLK_QUEUE_USER_DATA. Returns an enum
 * ublk_queue_event and *tag, or negative errno: the driver refused a command, which only a mistake
 * in the server (or in the driver) can cause.
 */
static inline int ublk_queue_handle_cqe(struct ublk_queue *queue, const struct io_uring_cqe *cqe,
					uint16_t *tag)
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

/*
 * Commit an owned request and fetch the next. `result` is the number of bytes that were read or
 * written (0 for other operations) or a negative errno; a read or write may not return 0. Takes one
 * SQE; -EBUSY if the submission queue is full (submit, then try again).
 */
static inline int ublk_queue_commit(struct ublk_queue *queue, uint16_t tag, int32_t result)
{
	if (queue->states[tag] != UBLK_TAG_OWNED)
		return -EPROTO;
	return ublk_queue_prep_cmd(queue, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result);
}

/*
 * From its next command on the tag uses the other one of its two buffers: what has the request's
 * data now may keep it, until this is called again.
 */
static inline void ublk_queue_swap_buffer(struct ublk_queue *queue, uint16_t tag)
{
	queue->swapped[tag] ^= 1;
	queue->populated[tag] = 0;
}
