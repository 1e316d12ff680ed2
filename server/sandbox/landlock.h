/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Landlock: no files, no network, nobody outside. See landlock.c. */
#pragma once

#include <stdbool.h>

/*
 * Restrict the calling thread and those that it starts: files below the directory `readable` (-1:
 * none) may be read, and that is all of the rights that this kernel's Landlock knows. Returns 0,
 * with *restricted false and the reason in *step where there is no Landlock; or negative errno with
 * what failed in *step.
 */
int landlock_restrict(int readable, bool *restricted, const char **step);
