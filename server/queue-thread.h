/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads that serve a device: one for each queue, with an io_uring of its own for the driver's
 * commands and the target's I/O, one system call per round.
 *
 * They live and die together. A queue without its thread would leave its readers waiting for ever,
 * so when one fails the process is to end; the kernel then tears the device down.
 */
#pragma once

#include "error.h"
#include "options.h"
#include "target.h"

struct queue_threads;

enum queue_threads_state {
	QUEUE_THREADS_RUNNING,
	QUEUE_THREADS_DRAINED, /* after queue_threads_drain(): nothing is in flight any more */
	QUEUE_THREADS_LEFT,    /* the device was stopped: all threads have left their queues */
	QUEUE_THREADS_FAILED,
};

/*
 * Start the threads and wait until the driver has the fetches of all queues. `options`, `target`
 * and `char_fd` must outlive the threads. On failure (negative errno, reason in *error) some
 * threads may be alive still: all that remains to be done is to exit.
 */
int queue_threads_start(const struct options *options, const struct target_ops *ops, void *target,
			int char_fd, struct queue_threads **out, struct server_error *error);

/* Readable when the state may have changed; queue_threads_get_state() makes it unreadable again. */
int queue_threads_get_fd(const struct queue_threads *threads);

/* In QUEUE_THREADS_FAILED the reason is put into *error. */
enum queue_threads_state queue_threads_get_state(struct queue_threads *threads,
						 struct server_error *error);

/*
 * Begin no new request, finish those in flight. The threads stay on their queues, with the fetches:
 * a thread that leaves has its requests failed by the driver while the others still work.
 */
void queue_threads_drain(struct queue_threads *threads);

/* Join and free; only in QUEUE_THREADS_LEFT. */
void queue_threads_free(struct queue_threads *threads);
