/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recent past of a number, as high as a line of text.
 */
#pragma once

#include "terminal.h"

#define GRAPH_MAX 64

/* Starts as zeroes: struct graph graph = { 0 }. */
struct graph {
	double values[GRAPH_MAX]; /* a ring; NAN: not known */
	guint n;                  /* how many there ever were */
};

void graph_add(struct graph *graph, double value);

/*
 * The last @width values, from left to right, as high as they are to the highest of them: @width
 * columns. Free with g_free().
 */
char *graph_draw(const struct graph *graph, int width, const struct terminal *terminal);
