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
 * Functions prepare SQEs; the caller submits the ring. Errors are negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <liburing.h>

#include "ublk-abi.h"

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
	int char_fd;           /* the caller's */
	uint16_t id;
	uint16_t depth;
	uint64_t flags; /* of the device, UBLK_F_* */
	const struct ublksrv_io_desc *descs;
	size_t descs_size;
	uint8_t *buffers;
	size_t buffer_size;    /* of each; a multiple of the page size */
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

/* Unmap; only when no command is with the driver any more, or the ring is gone. Zeroed: no-op. */
void ublk_queue_exit(struct ublk_queue *queue);

/*
 * Prepare and submit the first fetch of every tag. On 0 the driver has them all. -ENODEV: the
 * device is being stopped; anything else is the driver's refusal.
 */
int ublk_queue_fetch_all(struct ublk_queue *queue);

/*
 * Make sense of a completion whose user_data has UBLK_QUEUE_USER_DATA. Returns an enum
 * ublk_queue_event and *tag, or negative errno: the driver refused a command, which only a mistake
 * in the server (or in the driver) can cause.
 */
int ublk_queue_handle_cqe(struct ublk_queue *queue, const struct io_uring_cqe *cqe, uint16_t *tag);

/*
 * Commit an owned request and fetch the next. `result` is the number of bytes that were read or
 * written (0 for other operations) or a negative errno; a read or write may not return 0. Takes one
 * SQE; -EBUSY if the submission queue is full (submit, then try again).
 */
int ublk_queue_commit(struct ublk_queue *queue, uint16_t tag, int32_t result);

/* Ask for the data of a write that came without. Takes one SQE; -EBUSY as above. */
int ublk_queue_get_data(struct ublk_queue *queue, uint16_t tag);

static inline const struct ublksrv_io_desc *ublk_queue_get_desc(const struct ublk_queue *queue,
								uint16_t tag)
{
	return &queue->descs[tag];
}

static inline void *ublk_queue_get_buffer(const struct ublk_queue *queue, uint16_t tag)
{
	return queue->buffers + (size_t)tag * queue->buffer_size;
}
