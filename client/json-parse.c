/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON text as a GVariant. See json.h. */
#include <errno.h>
#include <string.h>

#include "errors.h"
#include "json.h"

#define MAX_DEPTH 64

struct parser {
	const char *text, *at;
	int depth;
};

static GVariant *fail(struct parser *parser, const char *what, GError **error)
{
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "it is not JSON: %s at byte %zu", what,
		    (gsize)(parser->at - parser->text));
	return NULL;
}

static void skip_space(struct parser *parser)
{
	parser->at += strspn(parser->at, " \t\r\n");
}

/* The next character that is no space, taken if it is `c`. */
static gboolean take(struct parser *parser, char c)
{
	skip_space(parser);
	if (*parser->at != c)
		return FALSE;
	parser->at++;
	return TRUE;
}

static gboolean take_word(struct parser *parser, const char *word)
{
	if (!g_str_has_prefix(parser->at, word))
		return FALSE;
	parser->at += strlen(word);
	return TRUE;
}

static gboolean take_hex(struct parser *parser, gunichar *unit)
{
	*unit = 0;
	for (int i = 0; i < 4; i++) {
		int digit = g_ascii_xdigit_value(parser->at[i]);

		if (digit < 0)
			return FALSE;
		*unit = *unit << 4 | (gunichar)digit;
	}
	parser->at += 4;
	return TRUE;
}

/* Behind "\u"; what is above U+FFFF is written as two of them. */
static gboolean take_code_point(struct parser *parser, GString *out)
{
	gunichar code, low;

	if (!take_hex(parser, &code))
		return FALSE;
	if (code >= 0xd800 && code < 0xdc00) {
		if (!take_word(parser, "\\u") || !take_hex(parser, &low) || low < 0xdc00 ||
		    low > 0xdfff)
			return FALSE;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	/* a NUL would end the string, and hide the rest of it from whoever looks at it */
	if (code == 0 || !g_unichar_validate(code))
		return FALSE;
	g_string_append_unichar(out, code);
	return TRUE;
}

static gboolean take_escape(struct parser *parser, GString *out)
{
	static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	const char *letter;

	if (*parser->at == 'u') {
		parser->at++;
		return take_code_point(parser, out);
	}
	letter = *parser->at ? strchr(letters, *parser->at) : NULL;
	if (!letter)
		return FALSE;
	g_string_append_c(out, means[letter - letters]);
	parser->at++;
	return TRUE;
}

/* Behind the opening quote. NULL: it is none. */
static char *take_string(struct parser *parser)
{
	g_autoptr(GString) out = g_string_new(NULL);

	while (*parser->at != '"') {
		if ((guchar)*parser->at < 0x20)
			return NULL;
		if (*parser->at == '\\') {
			parser->at++;
			if (!take_escape(parser, out))
				return NULL;
		} else {
			g_string_append_c(out, *parser->at++);
		}
	}
	parser->at++;
	return g_string_free(g_steal_pointer(&out), FALSE);
}

static GVariant *parse_number(struct parser *parser, GError **error)
{
	gsize length = strspn(parser->at, "+-.0123456789eE");
	g_autofree char *word = g_strndup(parser->at, length);
	gboolean whole = strcspn(word, ".eE") == length;
	char *end = NULL;
	GVariant *value;

	if (length == 0 || word[0] == '+')
		return fail(parser, "something unknown", error);
	errno = 0;
	if (whole)
		value = g_variant_new_int64(g_ascii_strtoll(word, &end, 10));
	else
		value = g_variant_new_double(g_ascii_strtod(word, &end));
	if (errno || *end) {
		g_variant_unref(g_variant_ref_sink(value));
		return fail(parser, "a number that is none, or too large", error);
	}
	parser->at += length;
	return value;
}

static GVariant *parse_value(struct parser *parser, GError **error);

static gboolean parse_member(struct parser *parser, GVariantBuilder *builder, GError **error)
{
	g_autofree char *key = take(parser, '"') ? take_string(parser) : NULL;
	GVariant *value;

	if (!key || !take(parser, ':')) {
		fail(parser, "no key", error);
		return FALSE;
	}
	value = parse_value(parser, error);
	if (value)
		g_variant_builder_add(builder, "{sv}", key, value);
	return value != NULL;
}

static gboolean parse_element(struct parser *parser, GVariantBuilder *builder, GError **error)
{
	GVariant *value = parse_value(parser, error);

	if (value)
		g_variant_builder_add(builder, "v", value);
	return value != NULL;
}

/* Behind the opening bracket, up to the closing one. */
static GVariant *parse_children(struct parser *parser, gboolean object, GError **error)
{
	char end = object ? '}' : ']';
	GVariantBuilder builder;

	g_variant_builder_init(&builder, object ? G_VARIANT_TYPE_VARDICT : G_VARIANT_TYPE("av"));
	if (take(parser, end))
		return g_variant_builder_end(&builder);
	do {
		if (object ? !parse_member(parser, &builder, error)
			   : !parse_element(parser, &builder, error))
			goto failed;
	} while (take(parser, ','));
	if (take(parser, end))
		return g_variant_builder_end(&builder);
	fail(parser, "something unexpected", error);
failed:
	g_variant_builder_clear(&builder);
	return NULL;
}

static GVariant *parse_nested(struct parser *parser, gboolean object, GError **error)
{
	GVariant *value;

	if (parser->depth == MAX_DEPTH)
		return fail(parser, "too deep a nesting", error);
	parser->depth++;
	value = parse_children(parser, object, error);
	parser->depth--;
	return value;
}

static GVariant *parse_value(struct parser *parser, GError **error)
{
	g_autofree char *string = NULL;

	if (take(parser, '{'))
		return parse_nested(parser, TRUE, error);
	if (take(parser, '['))
		return parse_nested(parser, FALSE, error);
	if (take(parser, '"')) {
		string = take_string(parser);
		return string ? g_variant_new_string(string) : fail(parser, "a bad string", error);
	}
	if (take_word(parser, "true"))
		return g_variant_new_boolean(TRUE);
	if (take_word(parser, "false"))
		return g_variant_new_boolean(FALSE);
	if (take_word(parser, "null"))
		return g_variant_new_maybe(G_VARIANT_TYPE_VARIANT, NULL);
	return parse_number(parser, error);
}

GVariant *json_parse(const char *text, GError **error)
{
	struct parser parser = { .text = text, .at = text };
	g_autoptr(GVariant) value = NULL;

	if (!g_utf8_validate(text, -1, &parser.at))
		return fail(&parser, "bytes that are not UTF-8", error);
	parser.at = text;
	value = parse_value(&parser, error);
	if (!value)
		return NULL;
	g_variant_ref_sink(value);
	skip_space(&parser);
	if (*parser.at)
		return fail(&parser, "something behind the end", error);
	return g_steal_pointer(&value);
}
