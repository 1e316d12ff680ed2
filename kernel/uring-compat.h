/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this project needs of io_uring and Debian 12's liburing 2.3 does not have, in one place. The
 * kernel decides at run time what it supports; a name that is defined here promises nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <liburing.h>

/* Of sqe->uring_cmd_flags: the command completes more than once. */
#ifndef IORING_URING_CMD_MULTISHOT
#define IORING_URING_CMD_MULTISHOT (1U << 1)
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
