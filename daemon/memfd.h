/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that a caller wants to share with a device: is it what it has to be? */
#pragma once

#include <gio/gio.h>

typedef struct {
	guint64 size;       /* bytes, a multiple of the page size */
	gboolean read_only; /* it cannot, or shall not, be written to */
} Memfd;

/*
 * Look at `fd`, which came from the bus and may be anything: FALSE with InvalidArgument (or
 * LimitExceeded above max_size bytes) unless it is a memfd, sealed against every change of its
 * size and against further seals, with all its pages. Never asks a file system that could make us
 * wait.
 */
gboolean memfd_check(int fd, guint64 max_size, Memfd *memfd, GError **error);

/* Map what was checked, without touching a page; NULL with `error`. For munmap(). */
void *memfd_map(int fd, const Memfd *memfd, GError **error);
