/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A GVariant as JSON text. What the client prints comes as GVariant from the bus, and JSON has
 * fewer types than GVariant: that takes one function, not another library. (json-glib would also
 * turn a 64-bit unsigned number above 2^63 into a negative one.)
 *
 * Dictionaries with string keys become objects, arrays and tuples arrays, variants what is in them,
 * an absent maybe null. Byte strings (ay) become strings in which each byte that is not valid UTF-8
 * is U+FFFD.
 */
#pragma once

#include <gio/gio.h>

/* Consumes @value when it is floating. Free with g_free(). */
char *json_print(GVariant *value);

/* The same in one line, for what comes one after the other. */
char *json_print_line(GVariant *value);

/* A quoted string; @text may be any bytes up to its NUL. */
void json_append_string(GString *out, const char *text);

/*
 * JSON text as what json_print() prints the same from: an object is a{sv} (its keys in their
 * order), an array av, a string s, a whole number x, another one d, null an absent maybe. The
 * reference is the caller's; NULL with @error where it is no JSON, nests too deep, or has a NUL in
 * a string.
 */
GVariant *json_parse(const char *text, GError **error);
