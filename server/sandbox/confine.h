/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the server locks itself in. */
#pragma once

#include "server/error.h"

/*
 * Give up what no server needs, before anything from outside is looked at. Returns 0, or negative
 * errno with the reason in *error: a server that could not confine itself must not run.
 */
int confine_process(struct server_error *error);
