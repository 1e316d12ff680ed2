/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journald drops what a service says beyond some thousand lines in half a minute, whatever it is,
 * and every line costs. So a user whose calls are refused all the time, who may want just that, has
 * a number of lines, and what is told of the others' devices is not lost among them.
 */
#include "refusals.h"

/* So many lines of one user in so many seconds; then how many more there were. */
#define MAX_LINES      20
#define PERIOD_SECONDS 10

typedef struct {
	uid_t uid;
	guint told, untold;
} Period;

static GHashTable *periods; /* uid → Period; there is one as long as it lasts */

static void print_user(uid_t uid, char text[16])
{
	if (uid == REFUSALS_OF_NOBODY)
		g_strlcpy(text, "unknown", 16);
	else
		g_snprintf(text, 16, "%u", uid);
}

static gboolean on_period_over(gpointer user_data)
{
	Period *period = user_data;
	char user[16];

	print_user(period->uid, user);
	if (period->untold)
		g_message("%u more calls of user %s were refused in %d seconds", period->untold,
			  user, PERIOD_SECONDS);
	g_hash_table_remove(periods, GUINT_TO_POINTER(period->uid));
	return G_SOURCE_REMOVE;
}

void refusals_tell(uid_t uid, const char *operation, const char *object, const char *message)
{
	Period *period;
	char user[16];

	if (!periods)
		periods = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	period = g_hash_table_lookup(periods, GUINT_TO_POINTER(uid));
	if (!period) {
		period = g_new0(Period, 1);
		period->uid = uid;
		g_hash_table_insert(periods, GUINT_TO_POINTER(uid), period);
		g_timeout_add_seconds(PERIOD_SECONDS, on_period_over, period);
	}
	if (period->told == MAX_LINES) {
		period->untold++;
		return;
	}
	period->told++;
	print_user(uid, user);
	g_message("%s of %s refused to user %s: %s", operation, object, user, message);
}
