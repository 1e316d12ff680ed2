/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object /org/ublk1/Manager and its methods. */
#pragma once

#include <gio/gio.h>

/* Put it on the bus below `objects`. */
void manager_export(GDBusObjectManagerServer *objects);

/* The settings have changed: so does the property Limits. */
void manager_tell_limits(void);
