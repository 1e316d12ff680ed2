/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * OpenBlockDevice: an open descriptor of /dev/ublkbN for somebody who cannot open the node, because
 * it is not there (a container that runs already) or a device policy of the engine's forbids it.
 */
#pragma once

#include "request.h"

/* For methods.c. */
gboolean open_check(Request *request, GError **error);
void open_act(Request *request);
