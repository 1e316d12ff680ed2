/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flushes of one file by several queues, one fsync() at a time.
 *
 * Linux tells of a lost page to one fsync() of an open file description only. Of two that run at
 * once, one gets the error, and the other may return success, first even, though what it was asked
 * to make durable is lost as well. So no two run at once: whoever comes while one is running waits
 * for the next one, which begins after it came and so covers all that it is to cover; everybody who
 * has waited shares that one's result. That is fewer fsync() than requests, too.
 *
 * A request takes a ticket, and asks what to do until it is told that the flush is done:
 * - FLUSH_GROUP_RUN: issue an fsync(), and call flush_group_end() when it has returned.
 * - FLUSH_GROUP_WAIT: read flush_group_wake_fd() (asynchronously, 8 bytes), then call
 *   flush_group_woken() and ask again. Nobody is woken twice for nothing, but it may happen once.
 * - FLUSH_GROUP_DONE: an fsync() that covers the request has returned.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct flush_group {
	pthread_mutex_t lock;
	uint64_t begun, ended; /* fsync()s, counted; they differ while one is running */
	unsigned int waiting;
	int wake_fd;
	uint64_t token; /* what is read from wake_fd; of no interest */
};

enum flush_group_next {
	FLUSH_GROUP_RUN,
	FLUSH_GROUP_WAIT,
	FLUSH_GROUP_DONE,
};

/* Negative errno when there is no eventfd to be had. */
int flush_group_init(struct flush_group *group);
void flush_group_exit(struct flush_group *group);

/* The number of the first fsync() that begins after this. */
uint64_t flush_group_take_ticket(struct flush_group *group);
enum flush_group_next flush_group_ask(struct flush_group *group, uint64_t ticket);
void flush_group_woken(struct flush_group *group);
/* What the fsync() met must be known to all by now: this lets the others look. */
void flush_group_end(struct flush_group *group);
