/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

void job_begin(Job *job, const JobStep *steps, JobDone done)
{
	job->steps = steps;
	job->done = done;
	job->cancellable = g_cancellable_new();
	job_next(job);
}

void job_next(Job *job)
{
	JobStep step;

	if (job->reason) {
		job->done(job, job->reason);
		return;
	}
	step = *job->steps;
	if (!step) {
		job->done(job, NULL);
		return;
	}
	job->steps++;
	step(job);
}

void job_fail(Job *job, GError *error)
{
	g_autoptr(GError) owned = error;

	job->done(job, job->reason ? job->reason : owned);
}

void job_next_or_fail(Job *job, const GError *error)
{
	if (error)
		job_fail(job, g_error_copy(error));
	else
		job_next(job);
}

void job_cancel(Job *job, GError *reason)
{
	if (job->reason) {
		g_error_free(reason);
		return;
	}
	job->reason = reason;
	g_cancellable_cancel(job->cancellable);
}

void job_clear(Job *job)
{
	g_clear_object(&job->cancellable);
	g_clear_error(&job->reason);
}
