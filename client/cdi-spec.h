/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A specification for container engines (CDI, the Container Device Interface): which nodes a device
 * is, by a name that does not change with its number.
 */
#pragma once

#include "device.h"

#define CDI_SPEC_KIND "org.ublk/disk"
#define CDI_SPEC_FILE "org.ublk-disk.json"

/*
 * The text of the specification of all live @devices (elements Device *), NULL where there is none
 * of them: CDI has no empty one. Only those of @uid, under their names; with @everybody all, as
 * UID-NAME like the links in /dev/disk/by-ublk, since users choose names without asking each other.
 * Free with g_free().
 */
char *cdi_spec_print(GPtrArray *devices, guint32 uid, gboolean everybody);
