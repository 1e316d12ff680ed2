/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this project needs of io_uring and Debian 12's liburing 2.3 does not have, in one place. The
 * kernel decides at run time what it supports; a name that is defined here promises nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <liburing.h>

/* Of sqe->uring_cmd_flags: the command completes more than once. */
#ifndef IORING_URING_CMD_MULTISHOT
#define IORING_URING_CMD_MULTISHOT (1U << 1)
#endif

/* Of io_uring_enter(), and how a ring tells that its kernel has it. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

/* With SQE128 a submission entry takes the room of two. */
#define UBLK_SQE128_SIZE (2 * sizeof(struct io_uring_sqe))

/*
 * Prepare an IORING_OP_URING_CMD, for which liburing 2.3 has no function. `sqe_size` is that of the
 * ring's entries: the command's data lies at the end of the entry, and must not hold what an
 * earlier one left there.
 */
static inline void uring_prep_cmd(struct io_uring_sqe *sqe, size_t sqe_size, int fd,
				  uint32_t cmd_op)
{
	memset(sqe, 0, sqe_size);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = cmd_op;
}

/* Where the command's own data goes: 16 bytes, or 80 in a ring with SQE128. */
static inline void *uring_cmd_data(struct io_uring_sqe *sqe)
{
	return (uint8_t *)sqe + offsetof(struct io_uring_sqe, cmd);
}

/*
 * Submit what is prepared and wait for `wait_nr` completions. As io_uring_submit_and_wait(), but
 * where the kernel can (Linux 6.15), who waits here does not count as waiting for a disk: a server
 * that waits for requests is idle, and top, the load and the CPU's frequency should say so. The
 * ring must have its descriptor registered if and only if `registered` says so.
 */
static inline int uring_submit_and_wait(struct io_uring *ring, bool registered,
					unsigned int wait_nr)
{
	struct io_uring_sq *sq = &ring->sq;
	unsigned int flags = IORING_ENTER_GETEVENTS;

	/* A newer liburing sets up rings without that array (IORING_SETUP_NO_SQARRAY, Linux 6.6).
	 */
	for (; sq->array && sq->sqe_head != sq->sqe_tail; sq->sqe_head++)
		sq->array[sq->sqe_head & sq->ring_mask] = sq->sqe_head & sq->ring_mask;
	sq->sqe_head = sq->sqe_tail;
	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	if (registered)
		flags |= IORING_ENTER_REGISTERED_RING;
	if (ring->features & IORING_FEAT_NO_IOWAIT)
		flags |= IORING_ENTER_NO_IOWAIT;
	return io_uring_enter((unsigned int)ring->enter_ring_fd,
			      sq->sqe_tail - io_uring_smp_load_acquire(sq->khead), wait_nr, flags,
			      NULL);
}
