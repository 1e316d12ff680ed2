/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a device goes: the one way, whoever wants it and whatever it was doing. */
#pragma once

#include "device.h"

/* `error` (borrowed) is NULL when the device is gone and its number free. */
typedef void (*TeardownDone)(const GError *error, gpointer user_data);

/*
 * Take the device away: end the job that acts on it, stop its I/O and its server, delete it, wait
 * until udev and systemd have forgotten it. `reason` (static) goes to the journal and to a caller
 * whose call is ended by it. May be called again while it is going on: `done` (may be NULL) is
 * called for each, from the main loop. When something holds the device for too long, done comes
 * with Busy, and it goes on being taken away in the background.
 */
void teardown_begin(Device *device, const char *reason, TeardownDone done, gpointer user_data);

/* Whether it goes because somebody asked for it, and not by itself. */
gboolean teardown_is_wanted(const Device *device);

/*
 * Only end its I/O (STOP_DEV) and tell its server to leave. done comes when the block device is
 * gone; the device itself follows when its server has left.
 */
void teardown_stop(Device *device, TeardownDone done, gpointer user_data);

/* The device's job has ended (device->job is NULL again): goes on where that was waited for. */
void teardown_job_ended(Device *device);
