/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file or block device behind a loop device: opened, examined, locked. No I/O is done here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/error.h"
#include "server/options.h"

struct backing {
	int fd;
	bool is_block;
	bool direct;               /* the descriptor bypasses the page cache */
	bool in_memory;            /* a file that never waits for a disk (but for swap space) */
	uint32_t direct_alignment; /* of offset and length, in bytes; of direct I/O only */
	uint64_t size;             /* bytes */
	/* Of a block device; of a file the file system's, or 0 where there is no such thing. */
	uint32_t logical_block_size;
	uint32_t physical_block_size;
	uint32_t io_min;
	uint32_t io_opt;
	uint32_t discard_granularity;
	bool rotational;
	bool can_punch;   /* a range can be made zeroes without writing them, by PUNCH_HOLE */
	bool can_discard; /* and that gives its space back */
};

/*
 * Open what --file or --file-fd names, or take over `received` (the descriptor that --receive-file
 * brought, else -1). Returns 0, or negative errno with the reason in *error.
 *
 * Direct I/O is used where it works with the wanted logical block size (options, else the backing's
 * own, else 512) without changing that: see docs/server.md for why. With --direct the block size
 * follows the backing instead, and no direct I/O is an error.
 */
int backing_open(const struct options *options, int received, struct backing *backing,
		 struct server_error *error);
void backing_close(struct backing *backing);
