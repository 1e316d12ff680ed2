/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parse.h"

#include <string.h>

#include "errors.h"

/* Digits at the head of @text; *end is what follows them. FALSE: none, or more than 64 bits hold.
 */
static gboolean parse_digits(const char *text, guint64 *number, const char **end)
{
	guint64 value = 0;
	const char *p = text;

	for (; g_ascii_isdigit(*p); p++) {
		guint64 digit = g_ascii_digit_value(*p);

		if (value > (G_MAXUINT64 - digit) / 10)
			return FALSE;
		value = value * 10 + digit;
	}
	if (p == text)
		return FALSE;
	*number = value;
	*end = p;
	return TRUE;
}

gboolean parse_number(const char *text, guint64 max, guint64 *number, GError **error)
{
	const char *end;

	if (parse_digits(text, number, &end) && *end == '\0' && *number <= max)
		return TRUE;
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
		    "“%s” is not a number from 0 to %" G_GUINT64_FORMAT, text, max);
	return FALSE;
}

gboolean parse_u32(const char *text, guint32 *number)
{
	guint64 value;

	if (!parse_number(text, G_MAXUINT32, &value, NULL))
		return FALSE;
	*number = (guint32)value;
	return TRUE;
}

/* The power of two that a suffix stands for; -1: none that we know. */
static int parse_suffix(const char *suffix)
{
	static const char units[] = "KMGTP";
	const char *unit;

	if (*suffix == '\0' || g_ascii_strcasecmp(suffix, "B") == 0)
		return 0;
	unit = strchr(units, g_ascii_toupper(*suffix));
	if (!unit || (suffix[1] != '\0' && g_ascii_strcasecmp(suffix + 1, "iB") != 0))
		return -1;
	return 10 * (int)(unit - units + 1);
}

gboolean parse_size(const char *text, guint64 max, guint64 *bytes, GError **error)
{
	guint64 value;
	const char *end;
	int shift;

	if (!parse_digits(text, &value, &end) || (shift = parse_suffix(end)) < 0) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "“%s” is not a size: digits and then K, M, G, T or P, powers of 1024",
			    text);
		return FALSE;
	}
	if (value > max >> shift) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "“%s” is more than %" G_GUINT64_FORMAT " bytes", text, max);
		return FALSE;
	}
	*bytes = value << shift;
	return TRUE;
}

gboolean parse_seconds(const char *text, double min, double max, double *seconds, GError **error)
{
	char *end;
	double number = g_ascii_strtod(text, &end);

	/* Not the other way round: a comparison with NaN is false. No sign, no hexadecimal number.
	 */
	if (strspn(text, "0123456789.") == strlen(text) && end != text && !*end && number >= min &&
	    number <= max) {
		*seconds = number;
		return TRUE;
	}
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
		    "“%s” is no number of seconds from %g to %.0f", text, min, max);
	return FALSE;
}
