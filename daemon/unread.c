/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unread.h"

#include "daemon.h"
#include "error.h"

/* Of a user; and of all, since who has subordinate ids is many. Root is not counted. */
#define MAX_PER_USER 8
#define MAX_IN_ALL   40

static GHashTable *counts; /* uid → how many, as a pointer */
static guint total;

static guint count(uid_t uid)
{
	return counts ? GPOINTER_TO_UINT(g_hash_table_lookup(counts, GUINT_TO_POINTER(uid))) : 0;
}

static void set_count(uid_t uid, guint n)
{
	if (!counts)
		counts = g_hash_table_new(NULL, NULL);
	if (n)
		g_hash_table_insert(counts, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(n));
	else
		g_hash_table_remove(counts, GUINT_TO_POINTER(uid));
}

gboolean unread_check(const Caller *caller, GError **error)
{
	if (caller->is_root || (count(caller->uid) < MAX_PER_USER && total < MAX_IN_ALL))
		return TRUE;
	if (count(caller->uid) >= MAX_PER_USER)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_BUSY,
			    "user %u has not read %u answers that carry a descriptor; let its "
			    "programs read what the bus has for them, or end",
			    caller->uid, count(caller->uid));
	else
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_BUSY,
			    "%u answers that carry a descriptor are unread by their callers; try "
			    "again later",
			    total);
	return FALSE;
}

/* Whatever the answer: it has read, or left. */
static void on_pong(GObject *source, GAsyncResult *result, gpointer user_data)
{
	uid_t uid = GPOINTER_TO_UINT(user_data);
	g_autoptr(GVariant)
		reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, NULL);

	set_count(uid, count(uid) - 1);
	total--;
}

void unread_note(const Caller *caller)
{
	if (caller->is_root)
		return;
	set_count(caller->uid, count(caller->uid) + 1);
	total++;
	/* No time limit. When it leaves the bus, the bus answers for it. */
	g_dbus_connection_call(bus(), caller->sender, "/", "org.freedesktop.DBus.Peer", "Ping",
			       NULL, NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, G_MAXINT, NULL, on_pong,
			       GUINT_TO_POINTER(caller->uid));
}
