/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the server locks itself in, one function for each stage; confine.c tells the whole of it.
 * Each returns 0, or negative errno with the reason in *error: a server that could not confine
 * itself must not run. Where the kernel (or a container) has no such confinement that is logged.
 */
#pragma once

#include <stdbool.h>

#include <liburing.h>

#include "server/error.h"

/* 1. Before anything from outside is looked at. */
int confine_process(struct server_error *error);

/*
 * 2. When everything is open, and as long as there is one thread: no path leads anywhere any more,
 * but for files below the directory `path`, which can be read by way of the descriptor `readable`
 * of it (-1: none). *confined is false where neither of the two ways to do that is there: then that
 * descriptor must not be used to open anything.
 */
int confine_paths(int readable, const char *path, bool *confined, struct server_error *error);

/*
 * 3. In each queue's thread: its ring, which was made with IORING_SETUP_R_DISABLED and has
 * registered what it needs, starts to work and does from now on what targets do, and no more.
 * Returns 0 or negative errno.
 */
int confine_ring(struct io_uring *ring);

/*
 * 4. When all threads are there: no system call but those that serving takes, for all of them.
 * `readable` is the directory below which files can be opened by openat(), for reading; -1: no file
 * can be opened.
 */
int confine_calls(int readable, struct server_error *error);
