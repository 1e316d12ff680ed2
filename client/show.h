/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a verb shows of the devices that it is done with. With --json that is what `info --json`
 * prints, so that a program need not ask again.
 */
#pragma once

#include "device.h"

/* The JSON of devices (elements Device *), with the paths of their backing files. */
void show_devices(Bus *bus, GPtrArray *devices);

/*
 * The device at an object path, which is there now: its block device's path or, with @json, what
 * ublkd says of it. FALSE, where ublkd does not, with @error.
 */
gboolean show_device(Bus *bus, const char *path, gboolean json, GError **error);
