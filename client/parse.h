/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers and sizes as people type them.
 */
#pragma once

#include <glib.h>

/* A decimal number from 0 to @max, nothing before or behind it. */
gboolean parse_number(const char *text, guint64 max, guint64 *number, GError **error);

/* The number of a device or a user. */
gboolean parse_u32(const char *text, guint32 *number);

/*
 * A size of at most @max bytes: digits and then nothing or B (bytes), K, M, G, T or P, in either
 * case, also as KiB and so on. They are powers of 1024. KB, MB and so on are refused, since half
 * of the world means powers of 1000 by them.
 */
gboolean parse_size(const char *text, guint64 max, guint64 *bytes, GError **error);

/* A number of seconds, like 10 or 0.5; the point is one in every locale. */
gboolean parse_seconds(const char *text, double min, double max, double *seconds, GError **error);
