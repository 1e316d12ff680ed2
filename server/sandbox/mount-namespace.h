/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mount namespace of the server's own, with nothing in it. See mount-namespace.c. */
#pragma once

#include <stdbool.h>

/*
 * Leave the mount namespace for an empty one; what is open stays open. The process must have one
 * thread. Returns 0, or negative errno with what was refused in *step: then the namespace may be
 * the old one, or a copy that follows it.
 *
 * An open directory leads out all the same: by its "..". So the descriptor `readable` (-1: none),
 * which was the directory `path`, becomes one of a copy that has nothing above it; *detached tells
 * whether it did.
 */
int mount_namespace_leave(int readable, const char *path, bool *detached, const char **step);
