/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Prometheus reads of ublkd and the devices, in its text format. */
#pragma once

#include <glib.h>

/* NULL and empty where ublkd does not run. */
typedef struct {
	GPtrArray *devices; /* of Device */
	GVariant *counters; /* a{st}: Manager.GetCounters */
	guint32 limit;      /* devices-total */
} MetricsSource;

/* The whole text. Free with g_free(). */
char *metrics_format(const MetricsSource *source);
