/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Follows the devices: the list once, then ublkd's signals; nothing is ever asked twice. ublkd may
 * go and come back meanwhile (the devices go on without it): what has changed by then is told when
 * it is back. It is not started for that.
 */
#pragma once

#include "device.h"

/* Each may be NULL. The devices belong to the watch, and are valid during the call. */
struct watch_handlers {
	/* There is a new one, or it was there already when the watch began (@first). */
	void (*added)(const Device *device, gboolean first, gpointer data);
	void (*changed)(const Device *before, const Device *device, gpointer data);
	void (*removed)(const Device *device, gpointer data);
	/* All that there is has been told: at the beginning, and after ublkd has come back. */
	void (*ready)(gboolean first, gpointer data);
	void (*lost)(gpointer data);
};

typedef struct watch Watch;

/* Handlers are called from watch_run() alone. */
Watch *watch_new(Bus *bus, const struct watch_handlers *handlers, gpointer data);
void watch_free(Watch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Watch, watch_free)

/*
 * Until watch_end(), or with @signals until SIGINT, SIGTERM or SIGHUP (those that the one who
 * started us has not switched off). FALSE with @error: ublkd cannot be reached at all, the bus has
 * gone, or the time of --timeout is over, unless a handler has cleared that.
 */
gboolean watch_run(Watch *watch, gboolean signals, GError **error);

/* Have watch_run() return; takes @error: FALSE with that, TRUE without. */
void watch_end(Watch *watch, GError *error);

/* Those that are there now, by number: elements Device *, the watch's. Free the array. */
GPtrArray *watch_get_devices(Watch *watch);
