/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy that a queue's thread has after rounds of so many requests, as the kernel tells it.
 * The nice value stays, and so does a policy that somebody else has chosen.
 */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/resource.h>

#include "server/pace.h"

static void count_rounds(struct pace *pace, unsigned int rounds, unsigned int requests)
{
	while (rounds-- > 0)
		pace_count(pace, requests);
}

static void *test_rounds(void *unused)
{
	struct pace pace;

	assert(setpriority(PRIO_PROCESS, 0, 5) == 0);
	pace_init(&pace);
	assert(sched_getscheduler(0) == SCHED_BATCH);
	/* a reader that sends one at a time is served at once … */
	count_rounds(&pace, PACE_TRIAL_ROUNDS - 1, 1);
	assert(sched_getscheduler(0) == SCHED_BATCH);
	pace_count(&pace, 1);
	assert(sched_getscheduler(0) == SCHED_OTHER);
	/* … but now and then it is looked whether it has more … */
	count_rounds(&pace, PACE_SPELL_ROUNDS - 1, 1);
	assert(sched_getscheduler(0) == SCHED_OTHER);
	pace_count(&pace, 1);
	assert(sched_getscheduler(0) == SCHED_BATCH);
	/* … and as long as it has, that stays */
	count_rounds(&pace, 10 * PACE_TRIAL_ROUNDS, 2);
	assert(sched_getscheduler(0) == SCHED_BATCH);
	count_rounds(&pace, PACE_TRIAL_ROUNDS, 1);
	assert(sched_getscheduler(0) == SCHED_OTHER);
	assert(getpriority(PRIO_PROCESS, 0) == 5);
	return NULL;
}

static void *test_chosen_by_others(void *unused)
{
	const struct sched_param none = { 0 };
	struct pace pace;

	assert(sched_setscheduler(0, SCHED_IDLE, &none) == 0);
	pace_init(&pace);
	count_rounds(&pace, 2 * PACE_TRIAL_ROUNDS, 1);
	count_rounds(&pace, 2 * PACE_SPELL_ROUNDS, 1);
	assert(sched_getscheduler(0) == SCHED_IDLE);
	return NULL;
}

/* Policies are of threads. */
static void run(void *(*test)(void *))
{
	pthread_t thread;

	assert(pthread_create(&thread, NULL, test, NULL) == 0);
	assert(pthread_join(thread, NULL) == 0);
}

int main(void)
{
	run(test_rounds);
	run(test_chosen_by_others);
	return 0;
}
