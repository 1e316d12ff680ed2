/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was meant by a word that is not there (client/suggest.h). */
#include "suggest.h"

static void test_words(void)
{
	static const char *const words[] = { "add",   "list",     "info", "resize",
					     "serve", "features", NULL };
	static const struct {
		const char *typed, *meant;
	} cases[] = {
		{ "ad", "add" },     { "adn", "add" },          { "lsit", "list" },
		{ "lists", "list" }, { "feature", "features" }, { "resise", "resize" },
		{ "re", "resize" },  { "xyz", NULL },           { "", NULL },
		{ "l", NULL },       { "add", "add" },          { "reserve", "serve" },
	};
	static const char *const alike[] = { "work1", "work2", NULL };
	g_autofree char *long_word = g_strnfill(1000, 'a');

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_test_message("%s", cases[i].typed);
		g_assert_cmpstr(suggest_word(cases[i].typed, words), ==, cases[i].meant);
	}
	/* Which of the two nobody knows. */
	g_assert_null(suggest_word("work3", alike));
	g_assert_cmpstr(suggest_word("wrok2", alike), ==, "work2");
	g_assert_null(suggest_word(long_word, words));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/suggest/words", test_words);
	return g_test_run();
}
