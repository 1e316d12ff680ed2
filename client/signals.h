/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ends a command from outside: Ctrl-C, who manages it, a terminal that is closed.
 */
#pragma once

#include <glib.h>

extern const int signals_fatal[3];

/* What nohup, or a shell's &, has switched off stays off. */
gboolean signals_is_ignored(int signal);
