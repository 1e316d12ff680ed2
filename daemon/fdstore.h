/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors that systemd keeps for the next ublkd, under a name: sd_pid_notify_with_fds(3) and
 * sd_listen_fds_with_names(3), by hand. Where there is no systemd to keep them nothing happens.
 */
#pragma once

#include <glib.h>

/* Have a copy of `fd` (which stays the caller's) kept. `name`: letters, digits and hyphens. */
void fdstore_keep(const char *name, int fd);

/* What the ublkd before this one had kept under that name: the caller's from now on, or -1. */
int fdstore_take(const char *name);

/* Keep it no longer. */
void fdstore_drop(const char *name);
