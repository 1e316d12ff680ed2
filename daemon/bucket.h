/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * So many of something at once, and one more in each interval: a bucket of tokens, of which each
 * costs one. A new one is full: { size, now }.
 */
#pragma once

#include <glib.h>

typedef struct {
	gdouble tokens;
	gint64 at; /* when there were so many; monotonic, microseconds */
} Bucket;

/* What has come since, up to `size`. `interval` is in microseconds; infinite: nothing comes. */
void bucket_fill(Bucket *bucket, gdouble size, gdouble interval, gint64 now);
