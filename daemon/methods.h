/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of org.ublk1.Device. */
#pragma once

#include "device.h"

/* Hook them up to a device's object (for device_init()). */
void methods_connect(Device *device);
