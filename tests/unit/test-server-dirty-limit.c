/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much may be unflushed on a quick disk and on a slow one; what comes during a flush counts. */
#include <assert.h>

#include "server/targets/dirty-limit.h"

#define MIB (1ULL << 20)

static struct dirty_limit dirty;
static int64_t now = 1000000;

/* Writes up to the limit, and a flush of it on a disk of so many MiB in a second. */
static uint64_t write_and_flush(uint64_t speed)
{
	uint64_t written = 0;

	do
		written += MIB;
	while (!dirty_limit_add(&dirty, MIB));
	dirty_limit_begin_flush(&dirty, now);
	now += (int64_t)(written * 1000 / speed / MIB);
	dirty_limit_end_flush(&dirty, now);
	return written;
}

int main(void)
{
	uint64_t written = 0;

	dirty_limit_init(&dirty);
	/* A stick: seconds, and not 20 of them, from the first flush on. */
	for (int i = 0; i < 10; i++) {
		written = write_and_flush(2);
		assert(written <= DIRTY_LIMIT_FIRST + MIB);
	}
	assert(written >= 4 * MIB && written <= 11 * MIB);
	/* One that hardly moves: some is always taken. */
	for (int i = 0; i < 20; i++) {
		dirty_limit_begin_flush(&dirty, now);
		dirty_limit_end_flush(&dirty, now + 60000);
	}
	assert(dirty.limit == DIRTY_LIMIT_MIN);
	/* … and soon more, when it is better. */
	for (int i = 0; i < 10; i++)
		written = write_and_flush(500);
	assert(dirty.limit == DIRTY_LIMIT_MAX && written == DIRTY_LIMIT_MAX + MIB);
	/* It was only its cache that was quick. */
	write_and_flush(5);
	assert(write_and_flush(5) <= 5 * 6 * MIB);

	/* Small writes are seeks. */
	dirty_limit_init(&dirty);
	for (written = 0; !dirty_limit_add(&dirty, 4096); written++)
		;
	assert(written == DIRTY_LIMIT_FIRST / DIRTY_LIMIT_WRITE);

	/* Flushes of little say nothing about the disk … */
	dirty_limit_init(&dirty);
	for (int i = 0; i < 10; i++) {
		assert(!dirty_limit_add(&dirty, MIB));
		dirty_limit_begin_flush(&dirty, now);
		dirty_limit_end_flush(&dirty, now + 1);
	}
	assert(dirty.limit == DIRTY_LIMIT_FIRST);
	/* … and what is written while one runs is left for the next one. */
	dirty_limit_begin_flush(&dirty, now);
	assert(!dirty_limit_add(&dirty, DIRTY_LIMIT_FIRST));
	dirty_limit_end_flush(&dirty, now + 1);
	assert(dirty_limit_add(&dirty, 512));
	return 0;
}
