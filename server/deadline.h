/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests that a target does not get done. The kernel kills the server of an unprivileged device
 * when a request is older than the queue's io_timeout (30 s). So a request that the target has had
 * for 20 to 24 s is given up: its reader gets EIO, and the device lives on.
 *
 * What was given up is still with the backing, and may happen at any time, or never; nobody can
 * take back what a disk has been told. Hence:
 * - Its buffer stays its own; the tag goes on with another one. There are two for each tag, and
 *   a request that comes on a tag whose last one is still out is refused with EIO at once.
 * - As long as something that changes the backing is out, every other change is refused with EIO,
 *   on all queues: a late write must not land on top of a newer one that was acknowledged.
 * When the backing has answered, everything is as it was; what that answer is interests nobody.
 *
 * The time is counted in ticks of each queue's own ring, only while it has requests. All of this
 * but the count of late changes belongs to the queue's thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <liburing.h>

#define DEADLINE_TICK_S 4
#define DEADLINE_TICKS  6

struct deadline_tag {
	uint16_t born; /* tick */
	bool with_target;
	bool late;        /* given up, and not back yet */
	bool late_change; /* and counted as one */
};

struct deadline {
	struct deadline_tag *tags;
	atomic_uint *late_changes; /* of all queues */
	uint16_t depth;
	uint16_t tick;
	bool armed;
	struct __kernel_timespec period;
};

/* Negative errno. `late_changes` is shared by the device's queues. */
int deadline_init(struct deadline *deadline, uint16_t depth, atomic_uint *late_changes);
void deadline_exit(struct deadline *deadline);

/* Before each submission, with whether the target has requests: keeps the clock running. */
void deadline_arm_slow(struct deadline *deadline, struct io_uring *ring, uint64_t user_data);

static inline void deadline_arm(struct deadline *deadline, bool busy, struct io_uring *ring,
				uint64_t user_data)
{
	if (busy && !deadline->armed)
		deadline_arm_slow(deadline, ring, user_data);
}
/* The clock's completion. */
void deadline_count_tick(struct deadline *deadline);

/* Must a request that has come on this tag be refused? `changes`: it would change the backing. */
static inline bool deadline_refuses(const struct deadline *deadline, uint16_t tag, bool changes)
{
	return deadline->tags[tag].late || (changes && atomic_load(deadline->late_changes) > 0);
}

static inline bool deadline_is_late(const struct deadline *deadline, uint16_t tag)
{
	return deadline->tags[tag].late;
}

static inline void deadline_begin(struct deadline *deadline, uint16_t tag)
{
	deadline->tags[tag].born = deadline->tick;
	deadline->tags[tag].with_target = true;
}

/*
 * A tag whose request is due to be given up, or -1. It is up to the caller to do that, and to say
 * so with deadline_give_up() before it asks again.
 */
int deadline_find_due(const struct deadline *deadline);
void deadline_give_up(struct deadline *deadline, uint16_t tag, bool changes);

/* The target is done. Returns true if the request had been given up: then nobody waits for it. */
static inline bool deadline_end(struct deadline *deadline, uint16_t tag)
{
	struct deadline_tag *t = &deadline->tags[tag];
	bool late = t->late;

	t->with_target = false;
	t->late = false;
	if (late && t->late_change)
		atomic_fetch_sub(deadline->late_changes, 1);
	return late;
}
