/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What fuzz targets that use GLib share. */
#pragma once

#include <gio/gio.h>

#include "fuzz.h"

static inline GLogWriterOutput fuzz_discard(GLogLevelFlags level, const GLogField *fields,
					    gsize n_fields, gpointer unused)
{
	/* a complaint about the input is meant for the journal; one about ourselves is a mistake */
	return level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)
		       ? g_log_writer_default(level, fields, n_fields, unused)
		       : G_LOG_WRITER_HANDLED;
}

/* First of all. */
static inline void fuzz_init(void)
{
	static gsize once;

	if (g_once_init_enter(&once)) {
		g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
		g_log_set_writer_func(fuzz_discard, NULL, NULL);
		g_once_init_leave(&once, 1);
	}
}
