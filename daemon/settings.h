/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the administrator decides: /etc/ublkd/ublkd.conf and its drop-ins. Times in milliseconds. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* What one user may have. */
typedef struct {
	guint devices_per_user;         /* above it: polkit's org.ublk1.create-beyond-limits */
	guint64 queue_memory_per_user;  /* bytes of kernel memory for queues; above it: as above */
	guint64 shared_memory_per_user; /* bytes pinned for RegisterBuffer; never exceeded */
	guint shared_buffers_per_user;  /* in how many pieces; never exceeded */
	guint creations_per_minute;     /* never exceeded */
} UserLimits;

typedef struct {
	/* [limits] */
	UserLimits user;          /* of those who have none of their own */
	guint devices_total;      /* never exceeded; keep it below the driver's ublks_max */
	guint calls_per_second;   /* of one user; more wait */
	guint prompts_per_sender; /* password dialogs open at once */
	guint prompts_per_user;
	guint prompts_total;
	/* [timeouts] */
	guint created_ms; /* how long a device may wait for Start */
	guint start_ms;   /* how long a server may take to report, and its queues to fetch */
	guint stop_ms;    /* how long a device may take to let go of its I/O */
	guint udev_ms;    /* how long udev may take for one event */
	guint prompt_ms;  /* how long a password dialog keeps its place, whoever needs one */
	/* [user NAME] and [group NAME], as they were read; of settings.c's own */
	GArray *sections;
	/* A section is missing since the user database did not tell: another time it may. */
	gboolean unsure;
} Settings;

/*
 * Read `path`, and then path.d/?*.conf. What is absent has its default. What is wrong is noted in
 * `problems` (of char *, by file and line) and left out; but a limit of a [user] or [group] that
 * cannot be read counts as 0, since the one for everybody may be too much for them. May wait for
 * the user database. settings_clear() frees what is in it.
 */
void settings_load(const char *path, Settings *settings, GPtrArray *problems);
void settings_clear(Settings *settings);

/* Whether it takes a user's groups to know their limits. */
gboolean settings_have_groups(const Settings *settings);

/*
 * The limits of user `uid`, who is in these groups (of gid_t; NULL: none). Those of a [user] come
 * before those of a [group], and those before [limits]; of several groups the last one counts.
 */
UserLimits settings_get_limits(const Settings *settings, uid_t uid, const GArray *groups);

/* [limits] as a dictionary for org.ublk1.Manager.Limits; floating. */
GVariant *settings_describe(const Settings *settings);
/* The same for what one user may have, or has, of it, and for all devices together. */
GVariant *settings_describe_user(const UserLimits *limits, guint devices_total);
