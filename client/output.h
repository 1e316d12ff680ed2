/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that the client prints about devices: tables for people, JSON for programs.
 *
 * The JSON is { "version": 1, "devices": [ … ] }. Keys are only added within a version; one that
 * goes, or means something else, makes the next version.
 */
#pragma once

#include <stdio.h>

#include "device.h"

#define OUTPUT_JSON_VERSION 1

/* "512", "64K", "1.5G": powers of 1024, rounded to one digit. Free with g_free(). */
char *output_format_size(guint64 bytes);

/* Control characters as \xNN, invalid UTF-8 as U+FFFD: safe on a terminal. Free with g_free(). */
char *output_escape_text(const char *text);

/* The user's name, or the number where this machine has none for it. Free with g_free(). */
char *output_format_user(guint32 uid);

/* Whether this process is in a user namespace of its own, where user names mean something else. */
gboolean output_is_namespaced(void);

/* Columns with a heading, as wide as need be. @bytes: sizes as plain numbers. */
void output_print_table(FILE *stream, GPtrArray *devices, gboolean bytes);

/*
 * One device, a line for each property. @backing_file: NULL when there is none or the caller may
 * not know.
 */
void output_print_device(FILE *stream, const Device *device, const char *backing_file);

/*
 * The JSON of devices (elements Device *). @backing_files: for each of them a path or NULL, or NULL
 * when they were not asked for: the key is absent then.
 */
void output_print_json(FILE *stream, GPtrArray *devices, GPtrArray *backing_files);
