/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the output may be: as wide as what, in colour or not, with which characters. A pipe, a file
 * and a dumb terminal get plain text.
 */
#pragma once

#include <glib.h>
#include <stdio.h>

struct terminal {
	gboolean present;  /* a terminal at all */
	gboolean moves;    /* its cursor can be moved */
	gboolean colour;   /* it shows colours, and the user has not said NO_COLOR */
	gboolean utf8;     /* its locale has all characters */
	gboolean graphics; /* its font has block characters too */
	int width, height; /* G_MAXINT: no end */
};

enum terminal_style {
	TERMINAL_PLAIN,
	TERMINAL_GOOD,
	TERMINAL_PASSING, /* soon something else */
	TERMINAL_BAD,
};

/* What @fd is at this moment: windows change their size. */
struct terminal terminal_get(int fd);

/*
 * For what prints for ever: be ended when nobody reads any more, as other programs are. GLib, once
 * there is a connection, has switched that off.
 */
void terminal_end_with_reader(void);

/* What stands for the rest of a text that was cut: one column. */
const char *terminal_get_ellipsis(const struct terminal *terminal);

/* An arrow from what was to what is. */
const char *terminal_get_arrow(const struct terminal *terminal);

/* What switches a style on, and off: empty where there is no colour. */
const char *terminal_begin_style(const struct terminal *terminal, enum terminal_style style);
const char *terminal_end_style(const struct terminal *terminal, enum terminal_style style);

/* How many columns a text takes: East Asian characters have two, combining ones none. */
int terminal_get_text_width(const char *text);

/* The text, at most @width columns of it, with an ellipsis when that is not all. Free with
 * g_free(). */
char *terminal_cut_text(const struct terminal *terminal, const char *text, int width);
