/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The settings, read at the start, and again when an administrator has changed them. */
#pragma once

#include "settings.h"

/*
 * Read `path` (which stays borrowed) and its drop-ins into `settings`, which are those in force
 * from now on. What is wrong in them goes to the journal, and the rest counts: a slip in a file
 * must not take the service down. Once.
 * Where the user database did not tell who is meant, they are read again in the same way from time
 * to time, until it tells, or a reload succeeds.
 */
void reload_init(const char *path, Settings *settings);

typedef void (*ReloadDone)(const GError *error, gpointer user_data);

/*
 * Read them anew. They count for what is begun from then on; devices that there are stay as they
 * are. If anything is wrong in the files, everything stays as it was, and `error` (borrowed) says
 * what it is. `done` (may be NULL) is called once, from the main loop.
 */
void reload_begin(ReloadDone done, gpointer user_data);
