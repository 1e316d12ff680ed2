/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the command as a whole may take: the option --timeout of the verbs that wait for
 * somebody.
 */
#pragma once

#include <glib.h>

#define DEADLINE_OPTION                                                                \
	{                                                                              \
		"timeout", 0, 0, G_OPTION_ARG_CALLBACK, deadline_parse,                \
			"Give up after so many seconds, with exit status 6", "SECONDS" \
	}

/* The option's callback: a number of seconds above 0, from now on. */
gboolean deadline_parse(const char *option, const char *value, gpointer data, GError **error);

/* It is kept: what is done from now on has as long as it has without one. */
void deadline_clear(void);

/* What is left in milliseconds, at least 1; @otherwise where no time was set. */
int deadline_get_left_ms(int otherwise);

/* Whether nothing is left; FALSE where no time was set. */
gboolean deadline_is_over(void);

/* What the user said, for messages; NULL: nothing. */
const char *deadline_get_text(void);

/* FALSE with @error where the time is over: nothing new is begun then. */
gboolean deadline_check(GError **error);

/* What is still to be done for the sake of order has a second; ublkd hears of it then. */
void deadline_extend(void);
