/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that come back: each is a file NAME.conf, root's in /etc/ublkd/devices.d, a user's in
 * ~/.config/ublk. A line is an option of `add`, without its dashes; empty ones and those that begin
 * with # are not read. ublk-generator makes units of the files, which run `add --kept NAME`.
 */
#pragma once

#include "make-options.h"

/* The file of the caller's device of that name, whether it is there or not. Free with g_free(). */
char *kept_get_path(const char *name);

/*
 * Whether it may be kept: by a name that means no other device, and that nothing is kept by. To be
 * asked before there is a device.
 */
gboolean kept_check(const char *name, const MakeOptions *options, GError **error);

/* Have it come back. */
gboolean kept_write(const char *name, const MakeOptions *options, GError **error);

/* What is wanted of it, the name included, as options of @verb. */
gboolean kept_read(const struct verb *verb, const char *name, MakeOptions *options, GError **error);

/* Whether a device comes back by that name. */
gboolean kept_exists(const char *name);

/* It does not come back. FALSE: it would not have, or, with @error, it still does. */
gboolean kept_forget(const char *name, GError **error);
