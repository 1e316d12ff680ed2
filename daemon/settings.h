/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the administrator decides: /etc/ublkd/ublkd.conf. Times in milliseconds. */
#pragma once

#include <glib.h>

typedef struct {
	/* [limits] */
	guint devices_per_user;         /* above it: polkit's org.ublk1.create-beyond-limits */
	guint devices_total;            /* never exceeded; keep it below the driver's ublks_max */
	guint64 queue_memory_per_user;  /* bytes of kernel memory for queues; above it: as above */
	guint64 shared_memory_per_user; /* bytes pinned for RegisterBuffer; never exceeded */
	guint shared_buffers_per_user;  /* in how many pieces; never exceeded */
	guint creations_per_minute;     /* of one user; never exceeded */
	guint prompts_per_sender;       /* password dialogs open at once */
	guint prompts_per_user;
	guint prompts_total;
	/* [timeouts] */
	guint created_ms; /* how long a device may wait for Start */
	guint start_ms;   /* how long a server may take to report, and its queues to fetch */
	guint stop_ms;    /* how long a device may take to let go of its I/O */
	guint udev_ms;    /* how long udev may take for one event */
} Settings;

/*
 * Read the file. What is absent has its default; what is wrong is reported to the journal by file,
 * group and key, and has its default too: a slip in the file must not take the service down, and
 * every default is the safe side. Never fails.
 */
void settings_load(const char *path, Settings *settings);

/* The limits as a dictionary for org.ublk1.Manager.Limits; floating. */
GVariant *settings_describe(const Settings *settings);
