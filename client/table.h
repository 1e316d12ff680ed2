/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Columns with headings. Each is as wide as need be; where the terminal is narrower, names are cut,
 * and where that is not enough, what matters least is left out.
 */
#pragma once

#include "terminal.h"

struct table_column {
	const char *heading;
	gboolean right;  /* numbers */
	int least;       /* may be cut to so many columns; 0: never */
	int dispensable; /* left out the sooner the higher it is; 0: never */
};

typedef struct table Table;

/* @columns must live as long as the table. */
Table *table_new(const struct table_column *columns, int n_columns);
void table_free(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

/*
 * The next cell, from left to right and line by line. @text is safe for a terminal
 * (output_escape_text()), and the table's from now on.
 */
void table_add(Table *table, char *text, enum terminal_style style);

/* The headings, and the lines that are complete. */
void table_print(const Table *table, FILE *stream, const struct terminal *terminal);
