/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lines of a configuration file: groups in brackets, key=value, and comments. GKeyFile reads
 * the same, but does not tell in which line something stands.
 */
#pragma once

#include <glib.h>

typedef struct {
	const char *path;
	guint number;      /* from 1 on */
	const char *group; /* what stands in the brackets, NULL before the first */
	const char *key;   /* NULL: the group begins here */
	const char *value;
} ConfLine;

typedef void (*ConfTake)(const ConfLine *line, gpointer user_data);

/*
 * Hand the lines of `path` to `take`. What is no such line, or no such file, goes to `problems`, as
 * what take() finds does; a file that does not exist has no lines.
 */
void conf_read(const char *path, ConfTake take, gpointer user_data, GPtrArray *problems);

/* The same for all files of a directory that end in .conf, in the order of their names. */
void conf_read_directory(const char *path, ConfTake take, gpointer user_data, GPtrArray *problems);

/* Note "PATH:LINE: what is wrong" (char *). */
void conf_complain(GPtrArray *problems, const ConfLine *line, const char *format, ...)
	G_GNUC_PRINTF(3, 4);
