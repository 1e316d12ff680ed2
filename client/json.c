/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json.h"

#include <math.h>
#include <string.h>

#include "output.h"

#define INDENT 2

void json_append_string(GString *out, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	g_string_append_c(out, '"');
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (c == '"' || c == '\\')
			g_string_append_printf(out, "\\%c", (char)c);
		else if (c == '\n')
			g_string_append(out, "\\n");
		else if (c == '\t')
			g_string_append(out, "\\t");
		else if (output_is_control(c))
			/* From 0x7f on allowed as they are, but they do no terminal any good. */
			g_string_append_printf(out, "\\u%04x", c);
		else
			g_string_append_unichar(out, c);
	}
	g_string_append_c(out, '"');
}

/* All in one line, without this. */
#define NO_DEPTH G_MININT

static void append_line(GString *out, int depth)
{
	if (depth < 0)
		return;
	g_string_append_c(out, '\n');
	for (int i = 0; i < depth * INDENT; i++)
		g_string_append_c(out, ' ');
}

static void append_value(GString *out, GVariant *value, int depth);

static void append_double(GString *out, double number)
{
	char buffer[G_ASCII_DTOSTR_BUF_SIZE];

	/* JSON has no word for these. */
	if (!isfinite(number)) {
		g_string_append(out, "null");
		return;
	}
	/* 0.1, and not all the digits of the binary number next to it, unless it takes them. */
	g_ascii_formatd(buffer, sizeof(buffer), "%.15g", number);
	if (g_ascii_strtod(buffer, NULL) != number)
		g_ascii_dtostr(buffer, sizeof(buffer), number);
	g_string_append(out, buffer);
}

static void append_children(GString *out, GVariant *value, int depth)
{
	gsize count = g_variant_n_children(value);
	gboolean object = g_variant_is_of_type(value, G_VARIANT_TYPE("a{s*}"));

	g_string_append_c(out, object ? '{' : '[');
	for (gsize i = 0; i < count; i++) {
		g_autoptr(GVariant) child = g_variant_get_child_value(value, i);

		if (i > 0)
			g_string_append_c(out, ',');
		append_line(out, depth + 1);
		if (object) {
			g_autoptr(GVariant) key = g_variant_get_child_value(child, 0);
			g_autoptr(GVariant) content = g_variant_get_child_value(child, 1);

			json_append_string(out, g_variant_get_string(key, NULL));
			g_string_append(out, ": ");
			append_value(out, content, depth + 1);
		} else {
			append_value(out, child, depth + 1);
		}
	}
	if (count > 0)
		append_line(out, depth);
	g_string_append_c(out, object ? '}' : ']');
}

static void append_value(GString *out, GVariant *value, int depth)
{
	g_autoptr(GVariant) inner = NULL;

	switch (g_variant_classify(value)) {
	case G_VARIANT_CLASS_BOOLEAN:
		g_string_append(out, g_variant_get_boolean(value) ? "true" : "false");
		return;
	case G_VARIANT_CLASS_BYTE:
		g_string_append_printf(out, "%u", g_variant_get_byte(value));
		return;
	case G_VARIANT_CLASS_INT16:
		g_string_append_printf(out, "%d", g_variant_get_int16(value));
		return;
	case G_VARIANT_CLASS_UINT16:
		g_string_append_printf(out, "%u", g_variant_get_uint16(value));
		return;
	case G_VARIANT_CLASS_INT32:
		g_string_append_printf(out, "%d", g_variant_get_int32(value));
		return;
	case G_VARIANT_CLASS_UINT32:
		g_string_append_printf(out, "%u", g_variant_get_uint32(value));
		return;
	case G_VARIANT_CLASS_HANDLE:
		g_string_append_printf(out, "%d", g_variant_get_handle(value));
		return;
	case G_VARIANT_CLASS_INT64:
		g_string_append_printf(out, "%" G_GINT64_FORMAT, g_variant_get_int64(value));
		return;
	case G_VARIANT_CLASS_UINT64:
		g_string_append_printf(out, "%" G_GUINT64_FORMAT, g_variant_get_uint64(value));
		return;
	case G_VARIANT_CLASS_DOUBLE:
		append_double(out, g_variant_get_double(value));
		return;
	case G_VARIANT_CLASS_STRING:
	case G_VARIANT_CLASS_OBJECT_PATH:
	case G_VARIANT_CLASS_SIGNATURE:
		json_append_string(out, g_variant_get_string(value, NULL));
		return;
	case G_VARIANT_CLASS_VARIANT:
		inner = g_variant_get_variant(value);
		append_value(out, inner, depth);
		return;
	case G_VARIANT_CLASS_MAYBE:
		inner = g_variant_get_maybe(value);
		if (inner)
			append_value(out, inner, depth);
		else
			g_string_append(out, "null");
		return;
	case G_VARIANT_CLASS_ARRAY:
		if (g_variant_is_of_type(value, G_VARIANT_TYPE_BYTESTRING)) {
			json_append_string(out, g_variant_get_bytestring(value));
			return;
		}
		append_children(out, value, depth);
		return;
	case G_VARIANT_CLASS_TUPLE:
	case G_VARIANT_CLASS_DICT_ENTRY:
		append_children(out, value, depth);
		return;
	}
}

static char *print(GVariant *value, int depth)
{
	g_autoptr(GVariant) owned = g_variant_ref_sink(value);
	g_autoptr(GString) out = g_string_new(NULL);

	append_value(out, owned, depth);
	return g_string_free(g_steal_pointer(&out), FALSE);
}

char *json_print(GVariant *value)
{
	return print(value, 0);
}

char *json_print_line(GVariant *value)
{
	return print(value, NO_DEPTH);
}
