/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What would lose data if a device went away: a mount, swap, another block device on it. What is
 * seen in /proc and /sys has a name: mounts of this process's mount namespace, and not those of
 * btrfs, whose disks have no number there. Of the rest the kernel says that there is something, to
 * the device's owner and to root: whoever mounts a disk, or has it alone in another way, claims it.
 * A program that merely has it open shows nowhere.
 */
#pragma once

#include <glib.h>

/*
 * "is mounted at /mnt: …", what to do about it included; NULL: nothing is known. @root: "" or, for
 * tests, a folder in which to look for /sys and /proc; the kernel is not asked then. May take two
 * seconds. Free with g_free().
 */
char *device_use_describe(const char *root, guint32 id);

/* The same of a device that somebody claims, as far as can be seen who that is. */
char *device_use_describe_claim(const char *root, guint32 id);
