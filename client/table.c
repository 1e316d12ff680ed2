/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "table.h"

#define GAP 2

struct cell {
	char *text;
	enum terminal_style style;
};

struct table {
	const struct table_column *columns;
	int n_columns;
	GArray *cells; /* the headings first */
};

static void clear_cell(gpointer cell)
{
	g_free(((struct cell *)cell)->text);
}

Table *table_new(const struct table_column *columns, int n_columns)
{
	Table *table = g_new0(Table, 1);

	table->columns = columns;
	table->n_columns = n_columns;
	table->cells = g_array_new(FALSE, FALSE, sizeof(struct cell));
	g_array_set_clear_func(table->cells, clear_cell);
	for (int i = 0; i < n_columns; i++)
		table_add(table, g_strdup(columns[i].heading), TERMINAL_PLAIN);
	return table;
}

void table_free(Table *table)
{
	g_array_unref(table->cells);
	g_free(table);
}

void table_add(Table *table, char *text, enum terminal_style style)
{
	struct cell cell = { text, style };

	g_array_append_val(table->cells, cell);
}

static const struct cell *get_cell(const Table *table, guint i)
{
	return &g_array_index(table->cells, struct cell, i);
}

/* Widths of -1: the column is left out. */
static int get_total(const Table *table, const int *width)
{
	int total = -GAP;

	for (int i = 0; i < table->n_columns; i++)
		total += width[i] < 0 ? 0 : width[i] + GAP;
	return total;
}

/* The widest of those that may still be cut; -1: none. */
static int find_longest(const Table *table, const int *width)
{
	int found = -1;

	for (int i = 0; i < table->n_columns; i++)
		if (table->columns[i].least && width[i] > table->columns[i].least &&
		    (found < 0 || width[i] > width[found]))
			found = i;
	return found;
}

static int find_dispensable(const Table *table, const int *width)
{
	int found = -1;

	for (int i = 0; i < table->n_columns; i++)
		if (table->columns[i].dispensable && width[i] >= 0 &&
		    (found < 0 ||
		     table->columns[i].dispensable > table->columns[found].dispensable))
			found = i;
	return found;
}

static void fit(const Table *table, int *width, int available)
{
	int column;

	while (get_total(table, width) > available) {
		column = find_longest(table, width);
		if (column >= 0) {
			width[column]--;
			continue;
		}
		column = find_dispensable(table, width);
		if (column < 0)
			return;
		width[column] = -1;
	}
}

static void print_cell(FILE *stream, const struct cell *cell, const struct table_column *column,
		       int width, gboolean last, const struct terminal *terminal)
{
	g_autofree char *text = terminal_cut_text(terminal, cell->text, width);
	int padding = width - terminal_get_text_width(text);

	if (column->right)
		fprintf(stream, "%*s", padding, "");
	fprintf(stream, "%s%s%s", terminal_begin_style(terminal, cell->style), text,
		terminal_end_style(terminal, cell->style));
	/* Nothing behind the last column: no trailing blanks. */
	if (!last)
		fprintf(stream, "%*s", GAP + (column->right ? 0 : padding), "");
}

void table_print(const Table *table, FILE *stream, const struct terminal *terminal)
{
	g_autofree int *width = g_new0(int, table->n_columns);
	guint lines = table->cells->len / table->n_columns;
	int last = 0;

	for (guint i = 0; i < table->cells->len; i++) {
		int *column = &width[i % table->n_columns];

		*column = MAX(*column, terminal_get_text_width(get_cell(table, i)->text));
	}
	fit(table, width, terminal->width);
	for (int i = 0; i < table->n_columns; i++)
		if (width[i] >= 0)
			last = i;
	for (guint line = 0; line < lines; line++) {
		for (int i = 0; i <= last; i++)
			if (width[i] >= 0)
				print_cell(stream, get_cell(table, line * table->n_columns + i),
					   &table->columns[i], width[i], i == last, terminal);
		fputc('\n', stream);
	}
}
