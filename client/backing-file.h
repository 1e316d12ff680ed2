/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file or block device behind a loop device, by the path that ublkd knows, with the user's own
 * rights: ublkd has none to it.
 */
#pragma once

#include <glib.h>

typedef struct backing_file {
	char *path;
	int fd;         /* -1: it was not made larger */
	guint64 before; /* bytes, before it was made larger */
	guint64 after;
} BackingFile;

BackingFile *backing_file_new(const char *path);
/* What was done to it stays. */
void backing_file_free(BackingFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BackingFile, backing_file_free)

/*
 * How large it is now, in bytes. Opens nothing. FALSE with @error where it cannot be seen, or is
 * neither a regular file nor a block device.
 */
gboolean backing_file_get_size(const BackingFile *file, guint64 *size, GError **error);

/*
 * Whether some other program has locked the file, as each server does; TRUE where nobody can tell.
 * May be called in a signal handler.
 */
gboolean backing_file_is_locked(int fd);

/*
 * Make a regular file as large as @size, with a hole at its end; one that is large enough stays as
 * it is. Refused is a file that no program has locked, as a device's server has its own: it is not
 * the device's (any more), whatever its name.
 */
gboolean backing_file_grow(BackingFile *file, guint64 size, GError **error);

/* Take back what backing_file_grow() did, unless somebody else has changed the size since. */
void backing_file_shrink_back(BackingFile *file);
