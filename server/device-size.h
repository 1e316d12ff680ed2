/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The size that the device has now: it is resized without the server, which cannot open it either.
 * But sysfs tells everybody.
 */
#pragma once

#include <stdint.h>

#define DEVICE_SIZE_DIRECTORY "/sys/devices/virtual"

/* Before the server confines itself, by a target that is going to ask. */
void device_size_open(void);

/*
 * The directory in which a confined server must still be able to read, or -1: nobody is going to
 * ask, or there is no sysfs.
 */
int device_size_get_directory(void);

/* Bytes, or 0: cannot be learned (no sysfs, or the device has gone). The file is in memory. */
uint64_t device_size_read(uint32_t dev_id);
