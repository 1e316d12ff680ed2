/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening /dev/ublkcN, which makes this process the device's server. */
#pragma once

#include "error.h"
#include "options.h"

/*
 * Open what --char-device or --char-fd names. Returns the descriptor (the caller's) or negative
 * errno with the reason in *error.
 */
int char_device_open(const struct options *options, struct server_error *error);
