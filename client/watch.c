/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <glib-unix.h>

#include "deadline.h"
#include "errors.h"
#include "signals.h"

#define PROPERTIES     "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

struct entry {
	GVariant *properties; /* a{sv} */
	Device *device;
};

struct watch {
	Bus *bus;
	const struct watch_handlers *handlers;
	gpointer data;
	GHashTable *entries; /* object path → struct entry */
	GMainLoop *loop;
	GError *error;
	guint name, timeout;
	/* Of the ublkd that is there: */
	guint subscriptions[2];
	GCancellable *listing; /* the list is on its way */
	gboolean listed;       /* … or has been at least once */
};

static void free_entry(gpointer data)
{
	struct entry *entry = data;

	g_variant_unref(entry->properties);
	device_free(entry->device);
	g_free(entry);
}

Watch *watch_new(Bus *bus, const struct watch_handlers *handlers, gpointer data)
{
	Watch *watch = g_new0(Watch, 1);

	watch->bus = bus;
	watch->handlers = handlers;
	watch->data = data;
	watch->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_entry);
	watch->loop = g_main_loop_new(NULL, FALSE);
	return watch;
}

/* ---- what is known ---- */

static void remove_device(Watch *watch, const char *path)
{
	struct entry *entry = g_hash_table_lookup(watch->entries, path);
	gpointer key;

	if (!entry)
		return;
	g_hash_table_steal_extended(watch->entries, path, &key, NULL);
	if (watch->handlers->removed)
		watch->handlers->removed(entry->device, watch->data);
	free_entry(entry);
	g_free(key);
}

/* Whatever order their keys are in. */
static gboolean are_equal(GVariant *one, GVariant *other)
{
	const char *key;
	GVariantIter iter;
	GVariant *value;
	gboolean equal = g_variant_n_children(one) == g_variant_n_children(other);

	g_variant_iter_init(&iter, one);
	while (equal && g_variant_iter_next(&iter, "{&sv}", &key, &value)) {
		g_autoptr(GVariant) there = g_variant_lookup_value(other, key, NULL);

		equal = there && g_variant_equal(value, there);
		g_variant_unref(value);
	}
	return equal;
}

/* What is at @path now; takes a reference of @properties. */
static void set_device(Watch *watch, const char *path, GVariant *properties)
{
	struct entry *entry = g_hash_table_lookup(watch->entries, path);
	Device *device = device_new(path, properties), *before;
	gboolean same;

	/* Another one with the number that this one had. */
	if (entry && entry->device->created_at != device->created_at) {
		remove_device(watch, path);
		entry = NULL;
	}
	if (!entry) {
		entry = g_new0(struct entry, 1);
		entry->properties = g_variant_ref(properties);
		entry->device = device;
		g_hash_table_insert(watch->entries, g_strdup(path), entry);
		if (watch->handlers->added)
			watch->handlers->added(device, !watch->listed, watch->data);
		return;
	}
	same = are_equal(entry->properties, properties);
	before = entry->device;
	entry->device = device;
	g_variant_unref(entry->properties);
	entry->properties = g_variant_ref(properties);
	if (!same && watch->handlers->changed)
		watch->handlers->changed(before, device, watch->data);
	device_free(before);
}

static GVariant *merge(GVariant *properties, GVariant *changes)
{
	g_auto(GVariantDict) merged = G_VARIANT_DICT_INIT(properties);
	g_autoptr(GList) keys = NULL;
	const char *key;
	GVariantIter iter;
	GVariant *value;

	g_variant_iter_init(&iter, changes);
	while (g_variant_iter_next(&iter, "{&sv}", &key, &value)) {
		g_variant_dict_insert_value(&merged, key, value);
		g_variant_unref(value);
	}
	return g_variant_ref_sink(g_variant_dict_end(&merged));
}

GPtrArray *watch_get_devices(Watch *watch)
{
	GPtrArray *devices = g_ptr_array_new();
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, watch->entries);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		g_ptr_array_add(devices, ((struct entry *)value)->device);
	device_sort(devices);
	return devices;
}

/* ---- what ublkd says ---- */

static void on_objects(GDBusConnection *connection, const char *sender, const char *path,
		       const char *interface, const char *signal, GVariant *parameters,
		       gpointer data)
{
	Watch *watch = data;
	g_autoptr(GVariant) interfaces = NULL, properties = NULL;
	g_auto(GStrv) names = NULL;
	const char *object;

	/* The list that is on its way has it already. */
	if (watch->listing)
		return;
	if (g_str_equal(signal, "InterfacesAdded") &&
	    g_variant_is_of_type(parameters, G_VARIANT_TYPE("(oa{sa{sv}})"))) {
		g_variant_get(parameters, "(&o@a{sa{sv}})", &object, &interfaces);
		properties = g_variant_lookup_value(interfaces, UBLK_BUS_DEVICE_INTERFACE,
						    G_VARIANT_TYPE_VARDICT);
		if (properties)
			set_device(watch, object, properties);
	} else if (g_str_equal(signal, "InterfacesRemoved") &&
		   g_variant_is_of_type(parameters, G_VARIANT_TYPE("(oas)"))) {
		g_variant_get(parameters, "(&o^as)", &object, &names);
		if (g_strv_contains((const char *const *)names, UBLK_BUS_DEVICE_INTERFACE))
			remove_device(watch, object);
	}
}

static void on_properties(GDBusConnection *connection, const char *sender, const char *path,
			  const char *interface, const char *signal, GVariant *parameters,
			  gpointer data)
{
	Watch *watch = data;
	struct entry *entry = g_hash_table_lookup(watch->entries, path);
	g_autoptr(GVariant) changes = NULL, merged = NULL;

	if (watch->listing || !entry ||
	    !g_variant_is_of_type(parameters, G_VARIANT_TYPE("(sa{sv}as)")))
		return;
	g_variant_get(parameters, "(&s@a{sv}@as)", NULL, &changes, NULL);
	merged = merge(entry->properties, changes);
	set_device(watch, path, merged);
}

/* From what there was to what there is; while ublkd was away anything may have happened. */
static void set_list(Watch *watch, GVariant *reply)
{
	g_autoptr(GHashTable) gone = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GPtrArray) devices = device_list_from_reply(reply);
	g_autoptr(GVariant) objects = g_variant_get_child_value(reply, 0);
	GHashTableIter iter;
	gpointer path;

	g_hash_table_iter_init(&iter, watch->entries);
	while (g_hash_table_iter_next(&iter, &path, NULL))
		g_hash_table_add(gone, g_strdup(path));
	for (guint i = 0; i < devices->len; i++)
		g_hash_table_remove(gone, ((Device *)devices->pdata[i])->path);
	g_hash_table_iter_init(&iter, gone);
	while (g_hash_table_iter_next(&iter, &path, NULL))
		remove_device(watch, path);
	/* In the order of their numbers. */
	for (guint i = 0; i < devices->len; i++) {
		const char *object = ((Device *)devices->pdata[i])->path;
		g_autoptr(GVariant) interfaces =
			g_variant_lookup_value(objects, object, G_VARIANT_TYPE("a{sa{sv}}"));
		g_autoptr(GVariant) properties = g_variant_lookup_value(
			interfaces, UBLK_BUS_DEVICE_INTERFACE, G_VARIANT_TYPE_VARDICT);

		set_device(watch, object, properties);
	}
}

/*
 * GDBus delivers signals and replies in the order in which they came: what was signalled before
 * this is in the list, and what comes after it is news.
 */
static void on_list(GObject *source, GAsyncResult *result, gpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant)
		reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
	Watch *watch = data;
	gboolean first;

	/* The watch may be no more. */
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return;
	/* It has gone in the middle of it; that is told by its name in a moment. */
	if (g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY) ||
	    g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN) ||
	    g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER))
		return;
	g_clear_object(&watch->listing);
	if (error) {
		watch_end(watch, g_steal_pointer(&error));
		return;
	}
	set_list(watch, reply);
	first = !watch->listed;
	watch->listed = TRUE;
	if (watch->handlers->ready)
		watch->handlers->ready(first, watch->data);
}

static void let_go(Watch *watch)
{
	for (gsize i = 0; i < G_N_ELEMENTS(watch->subscriptions); i++)
		if (watch->subscriptions[i])
			g_dbus_connection_signal_unsubscribe(watch->bus->connection,
							     watch->subscriptions[i]);
	watch->subscriptions[0] = watch->subscriptions[1] = 0;
	if (watch->listing)
		g_cancellable_cancel(watch->listing);
	g_clear_object(&watch->listing);
}

/*
 * By its own name on the bus (@owner): anybody can send a signal, and ublkd's well-known name in
 * the match would not keep others' from being taken for ublkd's.
 */
static void on_appeared(GDBusConnection *connection, const char *name, const char *owner,
			gpointer data)
{
	Watch *watch = data;

	let_go(watch);
	watch->subscriptions[0] = g_dbus_connection_signal_subscribe(
		connection, owner, OBJECT_MANAGER, NULL, UBLK_BUS_ROOT, NULL,
		G_DBUS_SIGNAL_FLAGS_NONE, on_objects, watch, NULL);
	watch->subscriptions[1] = g_dbus_connection_signal_subscribe(
		connection, owner, PROPERTIES, "PropertiesChanged", NULL, UBLK_BUS_DEVICE_INTERFACE,
		G_DBUS_SIGNAL_FLAGS_NONE, on_properties, watch, NULL);
	watch->listing = g_cancellable_new();
	g_dbus_connection_call(connection, owner, UBLK_BUS_ROOT, OBJECT_MANAGER,
			       "GetManagedObjects", NULL, G_VARIANT_TYPE("(a{oa{sa{sv}}})"),
			       G_DBUS_CALL_FLAGS_NO_AUTO_START, BUS_CALL_TIMEOUT_MS, watch->listing,
			       on_list, watch);
}

static void on_vanished(GDBusConnection *connection, const char *name, gpointer data)
{
	Watch *watch = data;
	g_autoptr(GPtrArray) devices = NULL;
	GError *error = NULL;

	let_go(watch);
	if (watch->listed) {
		if (watch->handlers->lost)
			watch->handlers->lost(watch->data);
		return;
	}
	/* It could not be started: an ordinary call says why. Should it be there now, all the
	 * better. */
	devices = device_list(watch->bus, &error);
	if (!devices)
		watch_end(watch, error);
}

/* ---- the run ---- */

void watch_end(Watch *watch, GError *error)
{
	if (watch->error)
		g_clear_error(&error);
	else
		watch->error = error;
	g_main_loop_quit(watch->loop);
}

static void on_closed(GDBusConnection *connection, gboolean by_bus, GError *cause, gpointer data)
{
	watch_end(data, g_error_new(CLIENT_ERROR, EXIT_CODE_FAILURE,
				    "the connection to the system bus has ended"));
}

static gboolean on_timeout(gpointer data)
{
	Watch *watch = data;

	watch->timeout = 0;
	/* It was for what has been done since: deadline_clear(). */
	if (!deadline_get_text())
		return G_SOURCE_REMOVE;
	watch_end(watch, g_error_new(CLIENT_ERROR, EXIT_CODE_TIMEOUT,
				     "the time of --timeout, %s s, is over", deadline_get_text()));
	return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer data)
{
	watch_end(data, NULL);
	return G_SOURCE_CONTINUE;
}

gboolean watch_run(Watch *watch, gboolean signals, GError **error)
{
	GDBusConnection *connection = watch->bus->connection;
	guint sources[G_N_ELEMENTS(signals_fatal)] = { 0 };
	gulong closed;

	for (gsize i = 0; signals && i < G_N_ELEMENTS(signals_fatal); i++)
		if (!signals_is_ignored(signals_fatal[i]))
			sources[i] = g_unix_signal_add(signals_fatal[i], on_signal, watch);
	if (deadline_get_text())
		watch->timeout = g_timeout_add(deadline_get_left_ms(0), on_timeout, watch);
	closed = g_signal_connect(connection, "closed", G_CALLBACK(on_closed), watch);
	watch->name = g_bus_watch_name_on_connection(connection, UBLK_BUS_NAME,
						     G_BUS_NAME_WATCHER_FLAGS_AUTO_START,
						     on_appeared, on_vanished, watch, NULL);
	g_main_loop_run(watch->loop);
	g_clear_handle_id(&watch->name, g_bus_unwatch_name);
	let_go(watch);
	g_signal_handler_disconnect(connection, closed);
	g_clear_handle_id(&watch->timeout, g_source_remove);
	for (gsize i = 0; i < G_N_ELEMENTS(signals_fatal); i++)
		g_clear_handle_id(&sources[i], g_source_remove);
	if (!watch->error)
		return TRUE;
	g_propagate_error(error, g_steal_pointer(&watch->error));
	return FALSE;
}

void watch_free(Watch *watch)
{
	g_hash_table_unref(watch->entries);
	g_main_loop_unref(watch->loop);
	g_clear_error(&watch->error);
	g_free(watch);
}
