/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many devices of one user are being made at once. Each of them has udev, systemd and the
 * server at work, which others' devices need too: who makes all devices that a user may have at the
 * same moment is not to have all processors for it. In the main loop.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct Slot Slot;

/* `ready` is called once, later, when the user has a place for one more. */
Slot *slot_wait(uid_t uid, void (*ready)(gpointer user_data), gpointer user_data);

/* It is not to be made any more: `ready` comes now, that is to say next, place or no place. */
void slot_hurry(Slot *slot);

/* It is made, or will not be. NULL is allowed. If `ready` has not come, it does not. */
void slot_free(Slot *slot);
