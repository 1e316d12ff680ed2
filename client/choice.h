/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `stop` and `del` have in common: which devices are meant (words, "-n ID", or "--all" of
 * one's own), and that they go. Stop takes the block device away, and the rest follows; Delete is
 * the same and returns when the rest has followed. So each verb is the other one with --wait or
 * --no-wait.
 */
#pragma once

#include "verbs.h"

/*
 * Parse the options, find the devices, and take each away. @deletes: the verb is `del`, for which
 * devices that have no block device go too, and which waits.
 */
int choice_run(const struct verb *verb, gboolean deletes, int argc, char **argv, GError **error);
