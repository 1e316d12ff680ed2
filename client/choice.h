/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which devices a verb is for, and doing it to each of them: words, "-n ID", or "--all" of one's
 * own.
 */
#pragma once

#include "verbs.h"

/* Parse the options, find the devices, call the method of org.ublk1.Device on each. */
int choice_run(const struct verb *verb, const char *method, int argc, char **argv, GError **error);
