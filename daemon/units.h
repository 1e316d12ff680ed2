/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The servers of managed devices, as transient units of systemd. */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

typedef void (*UnitsDone)(const GError *error, gpointer user_data);
/* `how` says how the process ended ("exited with status 1"); `well`: with status 0. */
typedef void (*UnitsEnded)(gboolean well, const char *how, gpointer user_data);
/* What a unit's process says to have gone wrong: text from a user, of any length. */
typedef void (*UnitsTrouble)(const char *text, gpointer user_data);

void units_init(GDBusConnection *bus);
void units_quit(void);

/* The name of the unit for a device number; free with g_free(). */
char *units_name(guint32 dev_id);

/*
 * Have systemd run `argv` as uid:gid, with `stdin_fd` (stays the caller's) as its standard input,
 * in the user's slice, confined to what a server needs. `done` comes from the main loop when
 * systemd has taken the job; how the server fares is told by its report.
 */
void units_start(const char *unit, guint32 dev_id, uid_t uid, gid_t gid, const char *const *argv,
		 int stdin_fd, GCancellable *cancellable, UnitsDone done, gpointer user_data);

/* The same for a program that opens the device for its owner, which takes seconds at most. */
void units_open(const char *unit, guint32 dev_id, uid_t uid, gid_t gid, const char *const *argv,
		int stdin_fd, UnitsDone done, gpointer user_data);

/*
 * Be told what a unit's process has to say (STATUS= with an ERRNO=), and once how it ended. systemd says so before the unit is forgotten, so it
 * comes before the end of units_stop(); it does not come when systemd says nothing (it is
 * restarted, the unit was gone already). The watch is to be ended by units_unwatch(), told or not.
 */
guint units_watch(const char *unit, UnitsTrouble trouble, UnitsEnded ended, gpointer user_data);
void units_unwatch(guint watch);

/*
 * Stop it (systemd kills what does not leave) and wait until systemd has forgotten it, so that the
 * name is free. `done` comes from the main loop, with TimedOut after timeout_ms; a unit that is
 * gone already is no error.
 */
void units_stop(const char *unit, guint timeout_ms, UnitsDone done, gpointer user_data);

/*
 * Have systemd run `argv` to its end, as root, as the transient unit `unit`. `done` comes from the
 * main loop, with an error if it cannot be run, does not end well, or not within timeout_ms.
 */
void units_run(const char *unit, const char *const *argv, guint timeout_ms, UnitsDone done,
	       gpointer user_data);
