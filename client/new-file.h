/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The backing file that `--create` makes. Until a device has it, it goes again with whatever ends
 * us: an error, Ctrl-C, SIGTERM. There can be one at a time, since a signal has to find it.
 */
#pragma once

#include <glib.h>

typedef struct new_file NewFile;

/*
 * Make it, @size bytes large and for its owner alone; never touches what exists. Refused where
 * somebody else could put another file there before the server opens it. It is one hole,
 * unless @preallocate wants its room on the disk reserved, which may take a while: a bar is shown.
 */
NewFile *new_file_create(const char *path, guint64 size, gboolean preallocate, GError **error);

/* Whether some server has locked this very file, whatever its path leads to by now. */
gboolean new_file_is_taken(const NewFile *file);

/* A device has it now: it stays, and signals do what they did before. */
void new_file_keep(NewFile *file);

/* No device has it: remove it. */
void new_file_remove(NewFile *file);

/* Where nobody said what became of the device: removes it unless a server has locked it by now. */
void new_file_free(NewFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NewFile, new_file_free)
