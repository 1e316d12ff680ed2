/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev.h"

#include <errno.h>
#include <gudev/gudev.h>
#include <stdio.h>
#include <unistd.h>

#include "error.h"

static const char *const subsystems[] = { "ublk-char", "block", NULL };

static GUdevClient *client;
static UdevRemoved removed_listener;
static GList *waits; /* of Wait */
static GHashTable
	*present; /* nodes that are expected or there, until udev has processed their removal */

typedef struct {
	enum ublk_node kind;
	guint32 dev_id;
	gboolean gone;  /* what is waited for: the removal, or the owner */
	gboolean known; /* the node was there before: whose it is now proves nothing */
	uid_t uid;
	gid_t gid;
	UdevDone done;
	gpointer user_data;
	guint deadline, idle;
	GCancellable *cancellable;
	gulong handler;
} Wait;

static gpointer present_key(enum ublk_node kind, guint32 dev_id)
{
	return GSIZE_TO_POINTER(((gsize)dev_id << 1) | (kind == UBLK_NODE_BLOCK));
}

/*
 * The node that a udev device is, FALSE for what is not the driver's (a partition, another disk).
 */
static gboolean identify(GUdevDevice *device, enum ublk_node *kind, guint32 *dev_id)
{
	const char *name = g_udev_device_get_name(device);
	char type, end;

	if (sscanf(name, "ublk%c%u%c", &type, dev_id, &end) != 2 || (type != 'b' && type != 'c'))
		return FALSE;
	*kind = type == 'b' ? UBLK_NODE_BLOCK : UBLK_NODE_CHAR;
	return TRUE;
}

static const char *node_name(enum ublk_node kind, guint32 dev_id, char name[UBLK_NODE_PATH_MAX])
{
	return ublk_node_path(kind, dev_id, name) + sizeof("/dev/") - 1;
}

/* What udev has noted about it; NULL: nothing. */
static GUdevDevice *query(enum ublk_node kind, guint32 dev_id)
{
	char name[UBLK_NODE_PATH_MAX];

	return g_udev_client_query_by_subsystem_and_name(
		client, kind == UBLK_NODE_BLOCK ? "block" : "ublk-char",
		node_name(kind, dev_id, name));
}

gboolean udev_knows_owner(enum ublk_node kind, guint32 dev_id, uid_t uid)
{
	g_autoptr(GUdevDevice) device = query(kind, dev_id);

	return device && g_udev_device_has_property(device, "UBLK_OWNER_UID") &&
	       g_udev_device_get_property_as_uint64(device, "UBLK_OWNER_UID") == uid;
}

static gboolean is_ready(const Wait *wait)
{
	struct ublk_node_owner owner;
	g_autoptr(GUdevDevice) device = NULL;
	int fd;

	device = query(wait->kind, wait->dev_id);
	if (!device || !g_udev_device_get_is_initialized(device))
		return FALSE;
	if (!g_udev_device_has_property(device, "UBLK_OWNER_UID"))
		return FALSE;
	if (wait->known)
		return TRUE;
	if (g_udev_device_get_property_as_uint64(device, "UBLK_OWNER_UID") != wait->uid ||
	    g_udev_device_get_property_as_uint64(device, "UBLK_OWNER_GID") != wait->gid)
		return FALSE;
	/*
	 * udev's database may still tell of the number's last device. The node cannot: the kernel
	 * made it anew, as root's, so whose it is now udev has done since. Not so its group, which
	 * its owner may change from then on.
	 */
	fd = ublk_node_open(wait->kind, wait->dev_id, &owner);
	if (fd < 0)
		return FALSE;
	close(fd);
	return owner.uid == wait->uid;
}

static gboolean is_gone(const Wait *wait)
{
	return !g_hash_table_contains(present, present_key(wait->kind, wait->dev_id));
}

static void wait_end(Wait *wait, const GError *error)
{
	waits = g_list_remove(waits, wait);
	g_clear_handle_id(&wait->deadline, g_source_remove);
	g_clear_handle_id(&wait->idle, g_source_remove);
	if (wait->cancellable) {
		g_signal_handler_disconnect(wait->cancellable, wait->handler);
		g_object_unref(wait->cancellable);
	}
	wait->done(error, wait->user_data);
	g_free(wait);
}

static gboolean wait_check(gpointer user_data)
{
	Wait *wait = user_data;

	wait->idle = 0;
	if (wait->gone ? is_gone(wait) : is_ready(wait))
		wait_end(wait, NULL);
	return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer user_data)
{
	Wait *wait = user_data;
	char path[UBLK_NODE_PATH_MAX];
	g_autoptr(GError) error = NULL;

	int fd = dup(STDIN_FILENO);

	wait->deadline = 0;
	/* then it may have, and was not to be seen */
	if (fd < 0 && errno == EMFILE)
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
				    "ublkd has no descriptor left to look at %s by",
				    ublk_node_path(wait->kind, wait->dev_id, path));
	else
		error = g_error_new(
			UBLK_ERROR, UBLK_ERROR_TIMED_OUT,
			"udev did not process the %s of %s in time (is systemd-udevd running, and "
			"is the project's rule installed?)",
			wait->gone ? "removal" : "arrival",
			ublk_node_path(wait->kind, wait->dev_id, path));
	if (fd >= 0)
		close(fd);
	wait_end(wait, error);
	return G_SOURCE_REMOVE;
}

static gboolean on_cancelled_idle(gpointer user_data)
{
	Wait *wait = user_data;
	g_autoptr(GError)
		error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "cancelled");

	wait->idle = 0;
	wait_end(wait, error);
	return G_SOURCE_REMOVE;
}

static void on_cancelled(GCancellable *cancellable, gpointer user_data)
{
	Wait *wait = user_data;

	g_clear_handle_id(&wait->idle, g_source_remove);
	wait->idle = g_idle_add(on_cancelled_idle, wait);
}

static Wait *wait_new(enum ublk_node kind, guint32 dev_id, guint timeout_ms, UdevDone done,
		      gpointer user_data)
{
	Wait *wait = g_new0(Wait, 1);

	wait->kind = kind;
	wait->dev_id = dev_id;
	wait->done = done;
	wait->user_data = user_data;
	wait->deadline = g_timeout_add(timeout_ms, on_deadline, wait);
	wait->idle = g_idle_add(wait_check, wait);
	waits = g_list_prepend(waits, wait);
	return wait;
}

static Wait *wait_owned(enum ublk_node kind, guint32 dev_id, uid_t uid, gid_t gid, guint timeout_ms,
			GCancellable *cancellable, UdevDone done, gpointer user_data)
{
	Wait *wait = wait_new(kind, dev_id, timeout_ms, done, user_data);

	wait->uid = uid;
	wait->gid = gid;
	if (cancellable) {
		wait->cancellable = g_object_ref(cancellable);
		wait->handler =
			g_signal_connect(cancellable, "cancelled", G_CALLBACK(on_cancelled), wait);
		if (g_cancellable_is_cancelled(cancellable))
			on_cancelled(cancellable, wait);
	}
	return wait;
}

void udev_wait_ready(enum ublk_node kind, guint32 dev_id, uid_t uid, gid_t gid, guint timeout_ms,
		     GCancellable *cancellable, UdevDone done, gpointer user_data)
{
	wait_owned(kind, dev_id, uid, gid, timeout_ms, cancellable, done, user_data);
}

void udev_wait_known(enum ublk_node kind, guint32 dev_id, guint timeout_ms,
		     GCancellable *cancellable, UdevDone done, gpointer user_data)
{
	wait_owned(kind, dev_id, 0, 0, timeout_ms, cancellable, done, user_data)->known = TRUE;
}

void udev_wait_gone(enum ublk_node kind, guint32 dev_id, guint timeout_ms, UdevDone done,
		    gpointer user_data)
{
	wait_new(kind, dev_id, timeout_ms, done, user_data)->gone = TRUE;
}

void udev_set_removed(UdevRemoved removed)
{
	removed_listener = removed;
}

static void on_uevent(GUdevClient *unused, const char *action, GUdevDevice *device, gpointer data)
{
	gboolean removed = g_str_equal(action, "remove");
	enum ublk_node kind;
	guint32 dev_id;

	if (!identify(device, &kind, &dev_id))
		return;
	if (removed)
		g_hash_table_remove(present, present_key(kind, dev_id));
	else
		g_hash_table_add(present, present_key(kind, dev_id));

	for (GList *l = waits, *next; l; l = next) {
		Wait *wait = l->data;

		next = l->next;
		/* from an idle: what a waiter does next may change the list */
		if (wait->kind == kind && wait->dev_id == dev_id && !wait->idle)
			wait->idle = g_idle_add(wait_check, wait);
	}
	if (removed && removed_listener)
		removed_listener(kind, dev_id);
}

void udev_expect(enum ublk_node kind, guint32 dev_id)
{
	g_hash_table_add(present, present_key(kind, dev_id));
}

void udev_forget(enum ublk_node kind, guint32 dev_id)
{
	g_hash_table_remove(present, present_key(kind, dev_id));
}

void udev_open(void)
{
	present = g_hash_table_new(NULL, NULL);
	client = g_udev_client_new(subsystems);
	g_signal_connect(client, "uevent", G_CALLBACK(on_uevent), NULL);
	/* what was there before: listened to first, so that nothing falls in between */
	for (const char *const *subsystem = subsystems; *subsystem; subsystem++) {
		GList *devices = g_udev_client_query_by_subsystem(client, *subsystem);

		for (GList *l = devices; l; l = l->next) {
			enum ublk_node kind;
			guint32 dev_id;

			if (identify(l->data, &kind, &dev_id))
				g_hash_table_add(present, present_key(kind, dev_id));
		}
		g_list_free_full(devices, g_object_unref);
	}
}

void udev_close(void)
{
	g_clear_object(&client);
	g_clear_pointer(&present, g_hash_table_unref);
}
