/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "slots.h"

#define SLOTS_PER_USER 4

struct Slot {
	uid_t uid;
	gboolean has_place;
	guint idle; /* source, until `ready` has been called */
	void (*ready)(gpointer user_data);
	gpointer user_data;
};

static GQueue slots = G_QUEUE_INIT; /* of all, who came first is first */

static gboolean on_ready(gpointer user_data)
{
	Slot *slot = user_data;

	slot->idle = 0;
	slot->ready(slot->user_data);
	return G_SOURCE_REMOVE;
}

static guint count_places(uid_t uid)
{
	guint n = 0;

	for (GList *l = slots.head; l; l = l->next) {
		const Slot *slot = l->data;

		n += slot->uid == uid && slot->has_place;
	}
	return n;
}

static void give_place(Slot *slot)
{
	slot->has_place = TRUE;
	slot->idle = g_idle_add_full(G_PRIORITY_DEFAULT, on_ready, slot, NULL);
}

/* To the one of them that has waited for longest, if there is any. */
static void give_next(uid_t uid)
{
	for (GList *l = slots.head; l; l = l->next) {
		Slot *slot = l->data;

		if (slot->uid == uid && !slot->has_place) {
			if (count_places(uid) < SLOTS_PER_USER)
				give_place(slot);
			return;
		}
	}
}

Slot *slot_wait(uid_t uid, void (*ready)(gpointer user_data), gpointer user_data)
{
	Slot *slot = g_new0(Slot, 1);

	slot->uid = uid;
	slot->ready = ready;
	slot->user_data = user_data;
	g_queue_push_tail(&slots, slot);
	give_next(uid);
	return slot;
}

void slot_hurry(Slot *slot)
{
	if (!slot->has_place)
		give_place(slot);
}

void slot_free(Slot *slot)
{
	uid_t uid;

	if (!slot)
		return;
	uid = slot->uid;
	g_clear_handle_id(&slot->idle, g_source_remove);
	g_queue_remove(&slots, slot);
	g_free(slot);
	give_next(uid);
}
