/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
static const char *const characters[] = { ".", ":", "-", "=", "+", "*", "%", "#" };
#define LEVELS (G_N_ELEMENTS(blocks))

G_STATIC_ASSERT(G_N_ELEMENTS(blocks) == G_N_ELEMENTS(characters));

void graph_add(struct graph *graph, double value)
{
	graph->values[graph->n++ % GRAPH_MAX] = value;
}

/* @ago: 0 is the last one. */
static double get_value(const struct graph *graph, guint ago)
{
	return ago < graph->n ? graph->values[(graph->n - 1 - ago) % GRAPH_MAX] : 0;
}

char *graph_draw(const struct graph *graph, int width, const struct terminal *terminal)
{
	const char *const *levels = terminal->graphics ? blocks : characters;
	g_autoptr(GString) text = g_string_new(NULL);
	double highest = 0;

	width = CLAMP(width, 0, GRAPH_MAX);
	/* NAN is not above anything. */
	for (int i = 0; i < width; i++)
		if (get_value(graph, i) > highest)
			highest = get_value(graph, i);
	for (int i = width - 1; i >= 0; i--) {
		double value = get_value(graph, i);

		/* Nothing at all is a blank: whatever there is can be seen. */
		if (value > 0)
			g_string_append(text,
					levels[MIN((gsize)(value / highest * LEVELS), LEVELS - 1)]);
		else
			g_string_append_c(text, ' ');
	}
	return g_string_free(g_steal_pointer(&text), FALSE);
}
