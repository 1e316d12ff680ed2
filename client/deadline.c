/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deadline.h"

#include "errors.h"
#include "parse.h"

/* Three weeks: milliseconds of it fit into an int. */
#define MAX_SECONDS 1814400
#define MIN_SECONDS 0.001

static struct {
	gint64 at; /* g_get_monotonic_time(), 0: none */
	char *text;
} deadline;

gboolean deadline_parse(const char *option, const char *value, gpointer data, GError **error)
{
	double seconds;

	if (!parse_seconds(value, MIN_SECONDS, MAX_SECONDS, &seconds, error)) {
		g_prefix_error(error, "%s: ", option);
		return FALSE;
	}
	deadline.at = g_get_monotonic_time() + (gint64)(seconds * G_USEC_PER_SEC);
	g_free(deadline.text);
	deadline.text = g_strdup(value);
	return TRUE;
}

void deadline_clear(void)
{
	deadline.at = 0;
	g_clear_pointer(&deadline.text, g_free);
}

int deadline_get_left_ms(int otherwise)
{
	gint64 left = (deadline.at - g_get_monotonic_time()) / 1000;

	return deadline.at ? (int)MAX(left, 1) : otherwise;
}

gboolean deadline_is_over(void)
{
	/* Waits are of whole milliseconds, and so may end in the one before. */
	return deadline.at && g_get_monotonic_time() + 1000 > deadline.at;
}

const char *deadline_get_text(void)
{
	return deadline.text;
}

gboolean deadline_check(GError **error)
{
	if (!deadline.at || g_get_monotonic_time() < deadline.at)
		return TRUE;
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_TIMEOUT, "the time of --timeout, %s s, is over",
		    deadline.text);
	return FALSE;
}

void deadline_extend(void)
{
	if (deadline.at)
		deadline.at = MAX(deadline.at, g_get_monotonic_time() + G_USEC_PER_SEC);
}
