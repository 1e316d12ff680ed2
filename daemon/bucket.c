/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bucket.h"

void bucket_fill(Bucket *bucket, gdouble size, gdouble interval, gint64 now)
{
	bucket->tokens = MIN(size, bucket->tokens + (gdouble)(now - bucket->at) / interval);
	bucket->at = now;
}
