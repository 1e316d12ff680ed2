/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the word that a person types for a device to the device:
 *
 *   7, ublkb7, ublkc7, /dev/ublkb7, /dev/ublkc7   by number
 *   a link to a node, or a node by another name   by what it leads to; begins with /, ./ or ../
 *   /dev/disk/by-ublk/1000-work                   by owner and name, also where the link is not
 *   work                                          by name, among one's own
 *   1000/work, alice/work                         by owner and name
 *
 * Somebody else's device is never meant by a bare name: root's script that deletes "work" must not
 * take alice's because its own is gone already.
 */
#pragma once

#include "device.h"

/*
 * The device among @devices that @word means to the user @own_uid, or NULL: none, or more than one,
 * which the error then lists. Owned by @devices.
 */
Device *device_word_find(GPtrArray *devices, const char *word, guint32 own_uid, GError **error);

/* Whether a device's number is said by it: "7", "ublkb7", "ublkc7". A device may be called so, too.
 */
gboolean device_word_is_number(const char *word);

/*
 * Whether one of @words (ended by NULL) may mean the device; without any words, whether it is the
 * user's, or anybody's where @everybody.
 */
gboolean device_word_selects(const Device *device, char *const *words, guint32 own_uid,
			     gboolean everybody);
