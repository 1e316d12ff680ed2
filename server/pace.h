/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a queue's thread runs, seen from who sends the requests, on the same processor.
 *
 * Most of what a request costs beyond its copy is switching between the reader and the server, and
 * which order is the cheaper one depends on how much the reader has to send:
 * - One request at a time: the server should run at once, before the reader goes to sleep to wait
 *   for it. Then the answer is there when the reader looks, and nobody has to wake it.
 * - Many: the server should wait until the reader has sent them all, and take them in one round.
 * The scheduler has a policy for each that needs no privilege: SCHED_OTHER with the shortest slice,
 * whose tasks interrupt others with longer ones, and SCHED_BATCH, whose tasks interrupt nobody.
 *
 * So the thread counts how many requests a round brings. Under SCHED_BATCH that is how many the
 * reader has sent at a time. Under SCHED_OTHER it is always about one, whatever the reader would
 * send, so now and then a few rounds under SCHED_BATCH find out. docs/benchmarks.md has the
 * figures.
 */
#pragma once

#include <stdbool.h>

struct pace {
	bool fixed; /* the kernel or a sandbox does not let us choose */
	bool at_once;
	unsigned int rounds, requests; /* of the present spell */
};

/* Of the calling thread, as the next two. */
void pace_init(struct pace *pace);

void pace_end_spell(struct pace *pace);

#define PACE_TRIAL_ROUNDS 16   /* of SCHED_BATCH */
#define PACE_SPELL_ROUNDS 1024 /* of SCHED_OTHER */

/* A round has brought so many requests. */
static inline void pace_count(struct pace *pace, unsigned int requests)
{
	pace->requests += requests;
	if (++pace->rounds >= (pace->at_once ? PACE_SPELL_ROUNDS : PACE_TRIAL_ROUNDS))
		pace_end_spell(pace);
}
