/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a queue's thread runs. See pace.h. */
#include "pace.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of sched_setattr(2), which Debian 12's C library has no function for. */
struct sched_attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime; /* ns; of SCHED_OTHER: the slice, since Linux 6.12 (0: the default) */
	uint64_t deadline;
	uint64_t period;
};

/* The kernel takes from 0.1 to 100 ms; before 6.12 it takes no notice. */
#define SHORTEST_SLICE_NS 100000

static bool set_policy(const struct pace *pace)
{
	struct sched_attributes attributes = {
		.size = sizeof(attributes),
		.policy = pace->at_once ? SCHED_OTHER : SCHED_BATCH,
		.runtime = pace->at_once ? SHORTEST_SLICE_NS : 0,
	};

	/* What others have made of our priority stays; -1 may be one, or an error. */
	attributes.nice = getpriority(PRIO_PROCESS, 0);
	return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
}

void pace_init(struct pace *pace)
{
	*pace = (struct pace){ .at_once = false };
	/* One that was given a policy of its own (chrt, a unit's CPUSchedulingPolicy=) keeps it. */
	pace->fixed = sched_getscheduler(0) != SCHED_OTHER || !set_policy(pace);
}

void pace_end_spell(struct pace *pace)
{
	/* more than every other round brings two */
	bool at_once = !pace->at_once && 2 * pace->requests < 3 * pace->rounds;

	pace->rounds = pace->requests = 0;
	if (pace->fixed || at_once == pace->at_once)
		return;
	pace->at_once = at_once;
	pace->fixed = !set_policy(pace);
}
