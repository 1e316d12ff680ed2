/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's ublk driver: is it there, and if not, why not. Looks at files that everybody may
 * read; ublkd, which is cut off from the modules, cannot.
 */
#pragma once

#include <glib.h>

enum driver_state {
	DRIVER_LOADED,
	DRIVER_NOT_LOADED,   /* this kernel has it as a module */
	DRIVER_NOT_BUILT,    /* this kernel was built without it */
	DRIVER_MODULES_GONE, /* the running kernel's modules are not on the disk any more */
};

/* @root: "" or, for tests, a folder in which to look; @release: as uname -r prints it. */
enum driver_state driver_get_state(const char *root, const char *release);

/* What is wrong and what to do, a part of a sentence; NULL when it is loaded. Free with g_free().
 */
char *driver_describe(enum driver_state state, const char *release);

/* Both, of this machine's running kernel. */
char *driver_describe_here(void);
