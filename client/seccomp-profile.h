/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The seccomp profile that a container needs in which a server runs: the container engine's default
 * one, as it is installed, and io_uring. It is made from the installed one each time, so that what
 * the distribution changes there is in it too.
 */
#pragma once

#include <gio/gio.h>

/*
 * The text of a profile with the three calls of io_uring allowed, from the text of a profile: every
 * rule about them is taken out, and one put in that allows them. All other rules stay as they are.
 * Free with g_free(); NULL with @error if @profile is none.
 */
char *seccomp_profile_allow_uring(const char *profile, GError **error);
