/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that the client prints about devices: tables for people, JSON for programs.
 *
 * The JSON is { "version": 1, "devices": [ … ] }, and other verbs' is of the same kind: an object
 * whose first key is the version. Keys are only added within a version; one that goes, or means
 * something else, makes the next version. man/ublk-client.1.scd has them all.
 */
#pragma once

#include <stdio.h>

#include "device.h"
#include "terminal.h"

#define OUTPUT_JSON_VERSION 1

/* "512", "64K", "1.5G": powers of 1024, rounded to one digit. Free with g_free(). */
char *output_format_size(guint64 bytes);

/* A control character, or a mark that changes the direction of what follows. */
gboolean output_is_control(gunichar c);

/* Control characters as \xNN, invalid UTF-8 as U+FFFD: safe on a terminal. Free with g_free(). */
char *output_escape_text(const char *text);

/* The user's name, or the number where this machine has none for it. Free with g_free(). */
char *output_format_user(guint32 uid);

/* Whether this process is in a user namespace of its own, where user names mean something else. */
gboolean output_is_namespaced(void);

/* A table that fits @terminal. @bytes: sizes as plain numbers. */
void output_print_table(FILE *stream, GPtrArray *devices, gboolean bytes,
			const struct terminal *terminal);

/* Nothing but the block devices' paths, a line each: for scripts. */
void output_print_paths(FILE *stream, GPtrArray *devices);

/* How a state is shown. */
enum terminal_style output_get_state_style(const char *state);

/*
 * One device, a line for each property. @backing_file: NULL when there is none or the caller may
 * not know.
 */
void output_print_device(FILE *stream, const Device *device, const char *backing_file);

/* A device as the JSON has it: a{sv}, floating. */
GVariant *output_build_device(const Device *device);

/* A time, microseconds since 1970, for people; NULL: it is none. Free with g_free(). */
char *output_format_time(guint64 microseconds);

/* This moment as the JSON has it. Free with g_free(). */
char *output_format_now(void);

/*
 * The JSON of devices (elements Device *). @backing_files: for each of them a path or NULL, or NULL
 * when they were not asked for: the key is absent then.
 */
void output_print_json(FILE *stream, GPtrArray *devices, GPtrArray *backing_files);

/*
 * Have what was printed reach its reader now. FALSE with @error where it, or anything before it,
 * could not be written: a flush after a failed one finds nothing to write and succeeds.
 */
gboolean output_flush(GError **error);
