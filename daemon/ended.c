/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ended.h"

typedef struct {
	uid_t uid;
	guint32 id;
	char *name;
	gint64 created_at, ended_at;
	char *why;
} Ended;

static GQueue all = G_QUEUE_INIT; /* the last one first */

static void ended_free(gpointer data)
{
	Ended *ended = data;

	g_free(ended->name);
	g_free(ended->why);
	g_free(ended);
}

static void drop(GList *link)
{
	ended_free(link->data);
	g_queue_delete_link(&all, link);
}

/* The user's oldest, where there are as many as a user may have; else the oldest, where it is full.
 */
static void make_room(uid_t uid)
{
	GList *oldest = NULL;
	guint own = 0;

	for (GList *l = all.head; l; l = l->next) {
		if (((Ended *)l->data)->uid != uid)
			continue;
		oldest = l;
		own++;
	}
	if (own >= ENDED_PER_USER)
		drop(oldest);
	else if (all.length >= ENDED_TOTAL)
		drop(all.tail);
}

void ended_forget(uid_t uid, guint32 id, const char *name)
{
	for (GList *l = all.head, *next; l; l = next) {
		const Ended *ended = l->data;

		next = l->next;
		if (ended->uid == uid && (ended->id == id || g_str_equal(ended->name, name)))
			drop(l);
	}
}

void ended_note(uid_t uid, guint32 id, const char *name, gint64 created_at, gint64 ended_at,
		const char *why)
{
	Ended *ended = g_new0(Ended, 1);

	ended_forget(uid, id, name);
	make_room(uid);
	ended->uid = uid;
	ended->id = id;
	ended->name = g_strdup(name);
	ended->created_at = created_at;
	ended->ended_at = ended_at;
	ended->why = g_strdup(why);
	g_queue_push_head(&all, ended);
}

GVariant *ended_describe(uid_t uid)
{
	GVariantBuilder list;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	for (GList *l = all.head; l; l = l->next) {
		const Ended *ended = l->data;

		if (ended->uid == uid)
			g_variant_builder_add_parsed(
				&list,
				"{'Id': <%u>, 'Name': <%s>, 'OwnerUid': <%u>, 'Ending': <%s>, "
				"'CreatedAt': <%t>, 'EndedAt': <%t>}",
				ended->id, ended->name, (guint32)uid, ended->why,
				(guint64)ended->created_at, (guint64)ended->ended_at);
	}
	return g_variant_builder_end(&list);
}
