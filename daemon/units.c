/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "units.h"

#include <gio/gunixfdlist.h>
#include <sys/mount.h>

#include "error.h"

#define SYSTEMD       "org.freedesktop.systemd1"
#define SYSTEMD_PATH  "/org/freedesktop/systemd1"
#define SYSTEMD_IFACE "org.freedesktop.systemd1.Manager"

/* How long a server may take to finish what is under way, before systemd kills it. */
#define STOP_USEC (10 * G_USEC_PER_SEC)

static GDBusConnection *connection;
static guint removed_signal;
static GHashTable *present; /* names of units that systemd was asked to run and has not forgotten */
static GList *waits;        /* of Wait */

typedef struct {
	char *unit;
	guint deadline, idle;
	UnitsDone done;
	gpointer user_data;
} Wait;

typedef struct {
	char *unit;
	UnitsDone done;
	gpointer user_data;
} Start;

char *units_name(guint32 dev_id)
{
	return g_strdup_printf("ublk-server-%u.service", dev_id);
}

static void wait_end(Wait *wait, const GError *error)
{
	waits = g_list_remove(waits, wait);
	g_clear_handle_id(&wait->deadline, g_source_remove);
	g_clear_handle_id(&wait->idle, g_source_remove);
	wait->done(error, wait->user_data);
	g_free(wait->unit);
	g_free(wait);
}

static gboolean on_gone(gpointer user_data)
{
	Wait *wait = user_data;

	wait->idle = 0;
	wait_end(wait, NULL);
	return G_SOURCE_REMOVE;
}

static void forget(const char *unit)
{
	g_hash_table_remove(present, unit);
	for (GList *l = waits; l; l = l->next) {
		Wait *wait = l->data;

		if (!wait->idle && g_str_equal(wait->unit, unit))
			wait->idle = g_idle_add(on_gone, wait);
	}
}

static void on_unit_removed(GDBusConnection *bus, const char *sender, const char *path,
			    const char *interface, const char *signal, GVariant *parameters,
			    gpointer unused)
{
	const char *unit;

	g_variant_get(parameters, "(&s&o)", &unit, NULL);
	forget(unit);
}

void units_init(GDBusConnection *bus)
{
	connection = g_object_ref(bus);
	present = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	removed_signal = g_dbus_connection_signal_subscribe(
		bus, SYSTEMD, SYSTEMD_IFACE, "UnitRemoved", SYSTEMD_PATH, NULL,
		G_DBUS_SIGNAL_FLAGS_NONE, on_unit_removed, NULL, NULL);
	/* systemd sends its signals only while somebody has asked for them */
	g_dbus_connection_call(bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD_IFACE, "Subscribe", NULL, NULL,
			       G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
}

void units_quit(void)
{
	if (connection)
		g_dbus_connection_signal_unsubscribe(connection, removed_signal);
	g_clear_object(&connection);
	g_clear_pointer(&present, g_hash_table_unref);
}

void units_adopt(const char *unit)
{
	g_hash_table_add(present, g_strdup(unit));
}

static void add_bool(GVariantBuilder *b, const char *name, gboolean value)
{
	g_variant_builder_add(b, "(sv)", name, g_variant_new_boolean(value));
}

static void add_string(GVariantBuilder *b, const char *name, const char *value)
{
	g_variant_builder_add(b, "(sv)", name, g_variant_new_string(value));
}

static void add_uint64(GVariantBuilder *b, const char *name, guint64 value)
{
	g_variant_builder_add(b, "(sv)", name, g_variant_new_uint64(value));
}

static void add_list(GVariantBuilder *b, const char *name, const char *const *allowed)
{
	/* TRUE: the list is what is allowed, not what is forbidden */
	g_variant_builder_add(b, "(sv)", name,
			      g_variant_new("(b@as)", TRUE, g_variant_new_strv(allowed, -1)));
}

/*
 * What confines a server. It needs its char device, its backing file wherever the user has it (so
 * the file system stays as the user sees it), io_uring, and nothing else. Its limits are the
 * user's, since it runs in the user's slice.
 */
static void add_confinement(GVariantBuilder *b, guint32 dev_id)
{
	static const char *const families[] = { "AF_UNIX", NULL };
	static const char *const calls[] = { "@system-service", NULL };
	static const char *const native[] = { "native", NULL };
	g_autofree char *node = g_strdup_printf("/dev/ublkc%u", dev_id);
	GVariantBuilder devices;

	add_bool(b, "NoNewPrivileges", TRUE);
	add_uint64(b, "CapabilityBoundingSet", 0);
	add_uint64(b, "AmbientCapabilities", 0);
	/*
	 * A mount namespace of its own into which no mount of the host's comes after the start:
	 * where a file system on the server's own device is mounted, the last process to leave has
	 * to write it back, and the server is the one process that cannot wait for the server.
	 */
	add_bool(b, "PrivateMounts", TRUE);
	add_uint64(b, "MountFlags", MS_PRIVATE);
	add_bool(b, "PrivateNetwork", TRUE);
	add_list(b, "RestrictAddressFamilies", families);
	add_bool(b, "ProtectKernelModules", TRUE);
	add_bool(b, "ProtectKernelLogs", TRUE);
	add_bool(b, "ProtectKernelTunables", TRUE);
	add_bool(b, "ProtectControlGroups", TRUE);
	add_bool(b, "ProtectClock", TRUE);
	add_bool(b, "ProtectHostname", TRUE);
	add_bool(b, "RestrictSUIDSGID", TRUE);
	add_bool(b, "RestrictRealtime", TRUE);
	add_bool(b, "LockPersonality", TRUE);
	add_bool(b, "MemoryDenyWriteExecute", TRUE);
	add_uint64(b, "RestrictNamespaces", 0);
	g_variant_builder_add(b, "(sv)", "SystemCallArchitectures", g_variant_new_strv(native, -1));
	add_list(b, "SystemCallFilter", calls);

	/* its own node, and block devices as backing where the user may open them */
	add_string(b, "DevicePolicy", "closed");
	g_variant_builder_init(&devices, G_VARIANT_TYPE("a(ss)"));
	g_variant_builder_add(&devices, "(ss)", node, "rw");
	g_variant_builder_add(&devices, "(ss)", "block-*", "rw");
	g_variant_builder_add(b, "(sv)", "DeviceAllow", g_variant_builder_end(&devices));
}

static GVariant *make_properties(guint32 dev_id, uid_t uid, gid_t gid, const char *const *argv)
{
	g_autofree char *description = g_strdup_printf("Server of block device ublkb%u", dev_id);
	g_autofree char *user = g_strdup_printf("%u", uid);
	g_autofree char *group = g_strdup_printf("%u", gid);
	g_autofree char *slice = uid == 0 ? g_strdup("system.slice")
					  : g_strdup_printf("user-%u.slice", uid);
	GVariantBuilder properties, exec;

	g_variant_builder_init(&properties, G_VARIANT_TYPE("a(sv)"));
	add_string(&properties, "Description", description);
	add_string(&properties, "Type", "notify");
	g_variant_builder_init(&exec, G_VARIANT_TYPE("a(sasb)"));
	g_variant_builder_add(&exec, "(s@asb)", argv[0], g_variant_new_strv(argv, -1), FALSE);
	g_variant_builder_add(&properties, "(sv)", "ExecStart", g_variant_builder_end(&exec));
	add_string(&properties, "User", user);
	add_string(&properties, "Group", group);
	add_string(&properties, "Slice", slice);
	/* one that failed is forgotten too: its messages are in the journal */
	add_string(&properties, "CollectMode", "inactive-or-failed");
	g_variant_builder_add(&properties, "(sv)", "StandardInputFileDescriptor",
			      g_variant_new_handle(0));
	add_string(&properties, "StandardOutput", "journal");
	add_string(&properties, "StandardError", "journal");
	add_string(&properties, "SyslogIdentifier", "ublk-server");
	add_uint64(&properties, "TimeoutStopUSec", STOP_USEC);
	add_confinement(&properties, dev_id);
	return g_variant_builder_end(&properties);
}

static void on_started(GObject *source, GAsyncResult *result, gpointer user_data)
{
	Start *start = user_data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GError) told = NULL;
	g_autoptr(GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish(
		G_DBUS_CONNECTION(source), NULL, result, &error);

	if (!reply) {
		/* cancelled: systemd may have taken it, units_stop() will find out */
		if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
			forget(start->unit);
		g_dbus_error_strip_remote_error(error);
		told = g_error_new(UBLK_ERROR, UBLK_ERROR_KERNEL,
				   "systemd does not start the server: %s", error->message);
	}
	start->done(told, start->user_data);
	g_free(start->unit);
	g_free(start);
}

void units_start(const char *unit, guint32 dev_id, uid_t uid, gid_t gid, const char *const *argv,
		 int stdin_fd, GCancellable *cancellable, UnitsDone done, gpointer user_data)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	Start *start = g_new0(Start, 1);

	start->unit = g_strdup(unit);
	start->done = done;
	start->user_data = user_data;
	g_unix_fd_list_append(fds, stdin_fd, NULL);
	g_hash_table_add(present, g_strdup(unit));
	g_dbus_connection_call_with_unix_fd_list(
		connection, SYSTEMD, SYSTEMD_PATH, SYSTEMD_IFACE, "StartTransientUnit",
		g_variant_new("(ss@a(sv)a(sa(sv)))", unit, "fail",
			      make_properties(dev_id, uid, gid, argv), NULL),
		G_VARIANT_TYPE("(o)"), G_DBUS_CALL_FLAGS_NONE, -1, fds, cancellable, on_started,
		start);
}

static gboolean on_deadline(gpointer user_data)
{
	Wait *wait = user_data;
	g_autoptr(GError) error = g_error_new(UBLK_ERROR, UBLK_ERROR_TIMED_OUT,
					      "systemd did not stop %s in time", wait->unit);

	wait->deadline = 0;
	wait_end(wait, error);
	return G_SOURCE_REMOVE;
}

static void on_stopped(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree char *unit = user_data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant)
		reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
	g_autofree char *name = error ? g_dbus_error_get_remote_error(error) : NULL;

	/* systemd does not know it (any more); otherwise UnitRemoved or the deadline tells */
	if (g_strcmp0(name, SYSTEMD ".NoSuchUnit") == 0)
		forget(unit);
	else if (error)
		g_warning("cannot stop %s: %s", unit, error->message);
}

void units_stop(const char *unit, guint timeout_ms, UnitsDone done, gpointer user_data)
{
	Wait *wait = g_new0(Wait, 1);

	wait->unit = g_strdup(unit);
	wait->done = done;
	wait->user_data = user_data;
	wait->deadline = g_timeout_add(timeout_ms, on_deadline, wait);
	waits = g_list_prepend(waits, wait);
	if (!g_hash_table_contains(present, unit)) {
		wait->idle = g_idle_add(on_gone, wait);
		return;
	}
	g_dbus_connection_call(connection, SYSTEMD, SYSTEMD_PATH, SYSTEMD_IFACE, "StopUnit",
			       g_variant_new("(ss)", unit, "replace"), NULL, G_DBUS_CALL_FLAGS_NONE,
			       -1, NULL, on_stopped, g_strdup(unit));
}
