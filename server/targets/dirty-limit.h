/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much may be written to a page cache and not be flushed. The kernel lets a file have a good
 * part of the memory dirty, some gigabytes; a flush of that takes longer than a request may
 * (deadline.h), though nothing is wrong with the disk, and a file system whose flush fails gives
 * up. So a write that finds more than the limit completes only when a flush has: then writers
 * are as quick as the disk, and a flush takes seconds. What a queue's tags hold at once may come
 * on top of the limit, as with direct I/O: it is written before its writer waits.
 *
 * The limit follows the disk: less when a flush took long, more when one that had much to do was
 * quick. It does not become large, since what was written says little about what is dirty (the
 * same block again and again) or how long that takes (blocks here and there). All times are
 * milliseconds of one clock that does not jump.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define DIRTY_LIMIT_FIRST   (16ULL << 20)
#define DIRTY_LIMIT_MIN     (1ULL << 20)
#define DIRTY_LIMIT_MAX     (128ULL << 20)
/* A small write counts for more than its bytes: a turning disk has to go there. */
#define DIRTY_LIMIT_WRITE   (64U << 10)
#define DIRTY_LIMIT_LONG_MS 5000
#define DIRTY_LIMIT_SOON_MS 2000

struct dirty_limit {
	_Atomic uint64_t bytes; /* written since the last flush began, whoever wrote them */
	_Atomic uint64_t limit;
	/* Of the flush that runs: one at a time, and each sees what the one before has left. */
	uint64_t flushing;
	int64_t since;
};

void dirty_limit_init(struct dirty_limit *dirty);

/* So many bytes were written. Must their writer wait for a flush, which begins after this? */
static inline bool dirty_limit_add(struct dirty_limit *dirty, uint64_t bytes)
{
	if (bytes < DIRTY_LIMIT_WRITE)
		bytes = DIRTY_LIMIT_WRITE;
	return atomic_fetch_add_explicit(&dirty->bytes, bytes, memory_order_relaxed) + bytes >
	       atomic_load_explicit(&dirty->limit, memory_order_relaxed);
}

void dirty_limit_begin_flush(struct dirty_limit *dirty, int64_t now);
void dirty_limit_end_flush(struct dirty_limit *dirty, int64_t now);
