/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mount namespace of the server's own, with nothing in it. See mount-namespace.c. */
#pragma once

/*
 * Leave the mount namespace for an empty one; what is open stays open. The process must have one
 * thread. Returns 0, or negative errno with what was refused in *step: then the namespace may be
 * the old one, or a copy that follows it.
 */
int mount_namespace_leave(const char **step);
