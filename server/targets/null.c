/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The target that stores nothing: writes vanish, reads return whatever the tag's buffer holds. It
 * shows what the path to a server costs, like the kernel's null_blk.
 */
#include <stddef.h>

#include "server/target.h"
#include "server/wishes.h"

#define NULL_DEFAULT_SIZE (250ULL << 30)
#define NULL_MAX_DISCARD  (1ULL << 30)

static int null_open(const struct options *options, int file, struct ublk_limits *limits,
		     void **target, struct server_error *error)
{
	uint32_t block_size = options->logical_block_size ? options->logical_block_size : 512;

	limits->size = options->size ? options->size : NULL_DEFAULT_SIZE;
	if (limits->size < block_size)
		return server_error_set(error, EINVAL,
					"--size is smaller than one block of %u bytes", block_size);
	if (limits->size % block_size != 0) {
		limits->size -= limits->size % block_size;
		server_log("the size is rounded down to %llu bytes, a multiple of the block size",
			   (unsigned long long)limits->size);
	}
	limits->logical_block_size = block_size;
	limits->physical_block_size = 4096;
	limits->max_io_size = options->max_io_size;
	limits->read_only = options->read_only;
	/* A flush of nothing is as good as any: there is a cache if somebody wants to see one. */
	limits->volatile_cache = options->limits.volatile_cache;
	limits->fua = options->limits.volatile_cache;
	if (!options->read_only) {
		limits->max_discard_size = NULL_MAX_DISCARD;
		limits->discard_granularity = 4096;
		limits->max_write_zeroes_size = NULL_MAX_DISCARD;
	}
	*target = NULL;
	return wishes_apply(options, "null", limits, error);
}

static void null_close(void *target)
{
}

static void null_queue_io(struct target_request *req)
{
	target_request_complete(req, 0);
}

const struct target_ops target_null = {
	.name = "null",
	.open = null_open,
	.close = null_close,
	.queue_io = null_queue_io,
};
