/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all of the daemon shares: set up once in daemon.c, constant afterwards. */
#pragma once

#include <gio/gio.h>

#include "settings.h"

/* What is in it changes when it is read anew (reload.h). */
const Settings *settings(void);
GDBusConnection *bus(void);

/*
 * Run the service on the system bus until SIGTERM, SIGINT or the loss of the name. Returns the exit
 * status.
 */
int daemon_run(const char *conf_path);
