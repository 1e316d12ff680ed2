/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What would lose data if a device went away: a mount, swap, another block device on it. As far as
 * this process can see: mounts of its own mount namespace. A program that merely has it open shows
 * nowhere.
 */
#pragma once

#include <glib.h>

/*
 * "is mounted at /mnt: …", what to do about it included; NULL: nothing is known. @root: "" or, for
 * tests, a folder in which to look for /sys and /proc. Free with g_free().
 */
char *device_use_describe(const char *root, guint32 id);
