/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device whose owner has no right to its node: because udev has not given it to them yet, or
 * because they have taken the right away from themselves (chmod 0 /dev/ublkcN) and so from ublkd,
 * which acts as them. Then ublkd acts as itself, which takes that the node is root's.
 */
#pragma once

#include <errno.h>

#include "device.h"

typedef void (*SeizeDone)(const GError *error, gpointer user_data);

/*
 * See to it that ublkd may act on the device as itself (device->as_self), after making sure by its
 * cookie that it is the one: at once where the node is root's, else with the help of ublk-owner,
 * run by systemd. `done` is called once, from the main loop; NotFound if it is another device by
 * now.
 */
void seize_device(Device *device, SeizeDone done, gpointer user_data);

/*
 * Whether a command's result asks for that: the owner has no right to the node, or the device is
 * one that takes CAP_SYS_ADMIN, which those that ublkd makes never do.
 */
static inline gboolean seize_is_needed(int res)
{
	return res == -EACCES || res == -EPERM;
}
