/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bar that fills while a person waits: on a terminal only, and never on the standard output,
 * which is for results.
 */
#pragma once

#include <glib.h>

typedef struct progress {
	guint64 total; /* bytes */
	gint64 shown;  /* when it was last drawn, monotonic microseconds; 0: not yet */
	gboolean wanted;
} Progress;

/* None is shown from now on: --quiet. */
void progress_switch_off(void);

void progress_begin(Progress *progress, guint64 total);
/* Draws at most ten times a second. */
void progress_show(Progress *progress, guint64 done);
/* Leaves an empty line to write on. */
void progress_end(Progress *progress);
/* The same of whatever bar is shown, where a signal ends us: only what its handler may call. */
void progress_wipe(void);
