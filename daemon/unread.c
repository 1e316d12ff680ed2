/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unread.h"

#include "error.h"

/* Of a user; and of all, since who has subordinate ids is many. Root is not counted. */
#define MAX_PER_USER 8
#define MAX_IN_ALL   40

/* One answer that was sent. */
typedef struct {
	char *sender;
	uid_t uid;
	GCancellable *call; /* NULL: it was not asked, or has not really answered */
} Unread;

static GList *unread;      /* of Unread */
static GHashTable *counts; /* uid → how many it owes or is about to, as a pointer */
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

gboolean unread_reserve(const Caller *caller, GError **error)
{
	guint owed = count(caller->uid);

	if (caller->is_root)
		return TRUE;
	if (owed >= MAX_PER_USER) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_BUSY,
			    "user %u has not read %u answers that carry a descriptor; let its "
			    "programs read what the bus has for them, or end",
			    caller->uid, owed);
		return FALSE;
	}
	if (total >= MAX_IN_ALL) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_BUSY,
			    "%u answers that carry a descriptor are unread by their callers; try "
			    "again later",
			    total);
		return FALSE;
	}
	set_count(caller->uid, owed + 1);
	total++;
	return TRUE;
}

static void release(uid_t uid)
{
	set_count(uid, count(uid) - 1);
	total--;
}

void unread_release(const Caller *caller)
{
	if (!caller->is_root)
		release(caller->uid);
}

static void settle(Unread *one)
{
	unread = g_list_remove(unread, one);
	release(one->uid);
	g_clear_object(&one->call);
	g_free(one->sender);
	g_free(one);
}

/*
 * Whatever it says, it has read; and when it has left, the bus says so. But a Ping that the bus did
 * not take (it lets nobody wait for more than so many answers) is no sign of life: then only its
 * leaving is.
 */
static void on_pong(GObject *source, GAsyncResult *result, gpointer user_data)
{
	Unread *one = user_data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusMessage) reply = g_dbus_connection_send_message_with_reply_finish(
		G_DBUS_CONNECTION(source), result, &error);

	if (reply)
		g_dbus_message_to_gerror(reply, &error);
	if (g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_LIMITS_EXCEEDED) ||
	    g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED))
		g_clear_object(&one->call);
	else
		settle(one);
}

/*
 * The bus believes an answer by its serial number, read or not; so that is one that nobody can
 * guess. GDBus counts from 1, and never gets as far as that.
 */
static void ask(Unread *one, GDBusConnection *connection)
{
	g_autoptr(GDBusMessage) ping = g_dbus_message_new_method_call(
		one->sender, "/", "org.freedesktop.DBus.Peer", "Ping");

	one->call = g_cancellable_new();
	g_dbus_message_set_flags(ping, G_DBUS_MESSAGE_FLAGS_NO_AUTO_START);
	g_dbus_message_set_serial(ping, g_random_int() | 1U << 31);
	g_dbus_connection_send_message_with_reply(connection, ping,
						  G_DBUS_SEND_MESSAGE_FLAGS_PRESERVE_SERIAL,
						  G_MAXINT, NULL, one->call, on_pong, one);
}

void unread_note(const Caller *caller, GDBusConnection *connection)
{
	Unread *one;

	if (caller->is_root)
		return;
	one = g_new0(Unread, 1);
	one->sender = g_strdup(caller->sender);
	one->uid = caller->uid;
	unread = g_list_prepend(unread, one);
	ask(one, connection);
}

void unread_forget(const char *sender)
{
	for (GList *l = unread, *next; l; l = next) {
		Unread *one = l->data;

		next = l->next;
		if (!g_str_equal(one->sender, sender))
			continue;
		/* on_pong() comes, and finds it cancelled */
		if (one->call)
			g_cancellable_cancel(one->call);
		else
			settle(one);
	}
}
