/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several asynchronous things one after the other. A job is a table of steps; a step starts
 * something with the job's cancellable, and whatever ends it calls job_next() or job_fail(). So the
 * order of a flow can be read in one place, and it can be given up at any moment.
 */
#pragma once

#include <gio/gio.h>

typedef struct Job Job;
typedef void (*JobStep)(Job *job);
/* The end, exactly once. `error` (borrowed) is NULL when all steps are done. Frees the job. */
typedef void (*JobDone)(Job *job, const GError *error);

/* To be the first member of the flow's own structure. */
struct Job {
	const JobStep *steps; /* NULL-terminated */
	JobDone done;
	GCancellable *cancellable;
	GError *reason; /* why it is given up */
};

void job_begin(Job *job, const JobStep *steps, JobDone done);

/* The current step is done. */
void job_next(Job *job);

/* The current step failed; takes `error`. */
void job_fail(Job *job, GError *error);

/* For a callback that has a borrowed error or none: job_fail() with a copy, or job_next(). */
void job_next_or_fail(Job *job, const GError *error);

/*
 * Give it up: takes `reason`. The current step is told through the cancellable; when it comes back,
 * however it ended, the job ends with the reason.
 */
void job_cancel(Job *job, GError *reason);

/* Free the members (not the job itself); for JobDone. */
void job_clear(Job *job);
