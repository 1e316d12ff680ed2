/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much may be written and not flushed. See dirty-limit.h. */
#include "dirty-limit.h"

void dirty_limit_init(struct dirty_limit *dirty)
{
	*dirty = (struct dirty_limit){ .limit = DIRTY_LIMIT_FIRST };
}

void dirty_limit_begin_flush(struct dirty_limit *dirty, int64_t now)
{
	dirty->flushing = atomic_exchange(&dirty->bytes, 0);
	dirty->since = now;
}

void dirty_limit_end_flush(struct dirty_limit *dirty, int64_t now)
{
	uint64_t limit = atomic_load(&dirty->limit);
	int64_t took = now - dirty->since;

	if (took > DIRTY_LIMIT_LONG_MS)
		limit = limit * DIRTY_LIMIT_LONG_MS / (uint64_t)took;
	else if (took < DIRTY_LIMIT_SOON_MS && dirty->flushing >= limit / 2 &&
		 limit < DIRTY_LIMIT_MAX)
		limit *= 2;
	if (limit < DIRTY_LIMIT_MIN)
		limit = DIRTY_LIMIT_MIN;
	atomic_store(&dirty->limit, limit);
}
