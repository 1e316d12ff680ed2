/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "terminal.h"

#define WIDTH       30
#define INTERVAL_US 100000
#define WIPE        "\r\033[K"

static gboolean off;
/* For progress_wipe(): whether there is a bar on the line. */
static volatile sig_atomic_t visible;

void progress_switch_off(void)
{
	off = TRUE;
}

void progress_begin(Progress *progress, guint64 total)
{
	*progress = (Progress){
		.total = total,
		.wanted = !off && terminal_get(STDERR_FILENO).moves,
	};
}

void progress_show(Progress *progress, guint64 done)
{
	gint64 now = g_get_monotonic_time();
	double part = progress->total ? (double)done / (double)progress->total : 1;
	g_autofree char *has = NULL, *wants = NULL;
	char bar[WIDTH + 1];

	if (!progress->wanted || (progress->shown && now - progress->shown < INTERVAL_US))
		return;
	progress->shown = now;
	memset(bar, '.', WIDTH);
	memset(bar, '#', (size_t)(part * WIDTH));
	bar[WIDTH] = '\0';
	has = output_format_size(done);
	wants = output_format_size(progress->total);
	visible = TRUE;
	fprintf(stderr, "\r[%s] %3d%%  %s of %s\033[K", bar, (int)(part * 100), has, wants);
	fflush(stderr);
}

void progress_end(Progress *progress)
{
	if (progress->shown)
		fputs(WIPE, stderr);
	progress->shown = 0;
	visible = FALSE;
}

void progress_wipe(void)
{
	/* There is nobody left whom to tell of an error. */
	if (visible && write(STDERR_FILENO, WIPE, strlen(WIPE)) < 0)
		return;
}
