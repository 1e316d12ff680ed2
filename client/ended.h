/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What became of a device that is not there.
 */
#pragma once

#include "bus.h"

/*
 * Where @error says that the user's device @word is not there, and ublkd knows why it went away by
 * itself: say that instead.
 */
void ended_explain(Bus *bus, const char *word, guint32 uid, GError **error);
