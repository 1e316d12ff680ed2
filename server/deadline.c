/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests that a target does not get done. See deadline.h. */
#include "deadline.h"

#include <errno.h>
#include <stdlib.h>

int deadline_init(struct deadline *deadline, uint16_t depth, atomic_uint *late_changes)
{
	*deadline = (struct deadline){
		.tags = calloc(depth, sizeof(*deadline->tags)),
		.late_changes = late_changes,
		.depth = depth,
		.period = { .tv_sec = DEADLINE_TICK_S },
	};
	return deadline->tags ? 0 : -ENOMEM;
}

void deadline_exit(struct deadline *deadline)
{
	free(deadline->tags);
}

void deadline_arm_slow(struct deadline *deadline, struct io_uring *ring, uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		return; /* no room: in the next round */
	io_uring_prep_timeout(sqe, &deadline->period, 0, 0);
	sqe->user_data = user_data;
	deadline->armed = true;
}

void deadline_count_tick(struct deadline *deadline)
{
	deadline->tick++;
	deadline->armed = false;
}

int deadline_find_due(const struct deadline *deadline)
{
	for (unsigned int tag = 0; tag < deadline->depth; tag++) {
		const struct deadline_tag *t = &deadline->tags[tag];

		if (t->with_target && !t->late &&
		    (uint16_t)(deadline->tick - t->born) >= DEADLINE_TICKS)
			return (int)tag;
	}
	return -1;
}

void deadline_give_up(struct deadline *deadline, uint16_t tag, bool changes)
{
	/* Before the reader is told: a write that it sends then comes on any queue. */
	if (changes)
		atomic_fetch_add(deadline->late_changes, 1);
	deadline->tags[tag].late_change = changes;
	deadline->tags[tag].late = true;
}
