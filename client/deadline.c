/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deadline.h"

#include "errors.h"

/* Three weeks: milliseconds of it fit into an int. */
#define MAX_SECONDS 1814400

static struct {
	gint64 at; /* g_get_monotonic_time(), 0: none */
	char *text;
} deadline;

gboolean deadline_parse(const char *option, const char *value, gpointer data, GError **error)
{
	char *end;
	/* The point of a number is a point in every locale: scripts write it. */
	double seconds = g_ascii_strtod(value, &end);

	/* Not "seconds <= 0": that lets NaN pass. */
	if (!g_ascii_isdigit(value[0]) || *end || !(seconds > 0) || seconds > MAX_SECONDS) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "%s: “%s” is no number of seconds from above 0 to %d", option, value,
			    MAX_SECONDS);
		return FALSE;
	}
	deadline.at = g_get_monotonic_time() + (gint64)(seconds * G_USEC_PER_SEC);
	g_free(deadline.text);
	deadline.text = g_strdup(value);
	return TRUE;
}

int deadline_get_left_ms(int otherwise)
{
	gint64 left = (deadline.at - g_get_monotonic_time()) / 1000;

	return deadline.at ? (int)MAX(left, 1) : otherwise;
}

const char *deadline_get_text(void)
{
	return deadline.text;
}
