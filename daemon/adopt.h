/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that an earlier run of this service made. */
#pragma once

#include <glib.h>

/*
 * Look through STATE_DIR: devices that live go on as ours, those that were being made when the
 * earlier run ended are taken away, and files without a device are removed. What the kernel says
 * counts; a file is believed about the one device that carries its cookie. `done` is called once,
 * from the main loop, when every device is known.
 */
void adopt_all(void (*done)(void));
