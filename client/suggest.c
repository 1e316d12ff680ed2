/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suggest.h"

#include <string.h>

/* No word of ours is longer; what is has no neighbour. */
#define MAX_LENGTH 64

/*
 * How many slips are between two words: a letter too many, one missing, a wrong one, or two that
 * changed places.
 */
static guint count_slips(const char *a, const char *b)
{
	gsize a_length = strlen(a), b_length = strlen(b);
	guint slips[MAX_LENGTH + 1][MAX_LENGTH + 1];

	if (a_length > MAX_LENGTH || b_length > MAX_LENGTH)
		return G_MAXUINT;
	for (gsize i = 0; i <= a_length; i++) {
		for (gsize j = 0; j <= b_length; j++) {
			guint best;

			if (i == 0 || j == 0) {
				slips[i][j] = i + j;
				continue;
			}
			best = slips[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN(best, slips[i - 1][j] + 1);
			best = MIN(best, slips[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, slips[i - 2][j - 2] + 1);
			slips[i][j] = best;
		}
	}
	return slips[a_length][b_length];
}

const char *suggest_word(const char *typed, const char *const *words)
{
	/* In a short word two slips leave nothing of it. */
	guint allowed = strlen(typed) < 5 ? 1 : 2, nearest = G_MAXUINT;
	const char *found = NULL;

	for (; *words; words++) {
		guint slips = g_str_has_prefix(*words, typed) && strlen(typed) > 1
				      ? 1
				      : count_slips(typed, *words);

		if (slips > allowed || slips > nearest)
			continue;
		found = slips == nearest ? NULL : *words;
		nearest = slips;
	}
	return found;
}
