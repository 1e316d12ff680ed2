/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "units.h"

#include <gio/gunixfdlist.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "error.h"

#define SYSTEMD       "org.freedesktop.systemd1"
#define SYSTEMD_PATH  "/org/freedesktop/systemd1"
#define SYSTEMD_IFACE "org.freedesktop.systemd1.Manager"

/* How long a server may take to finish what is under way, before systemd kills it. */
#define STOP_USEC (10 * G_USEC_PER_SEC)

/* How long opening a node may take. */
#define OPEN_USEC (30 * G_USEC_PER_SEC)

static GDBusConnection *connection;
static guint unit_removed, job_removed;
static GList *waits; /* of Wait */

/* Somebody waits for a unit to be forgotten, or for a job to be done. */
typedef struct {
	char *unit; /* NULL: it is the job that is waited for */
	char *job;  /* object path; NULL until systemd has told it */
	char *name; /* of what is run, for messages */
	guint deadline;
	UnitsDone done;
	gpointer user_data;
} Wait;

typedef struct {
	UnitsDone done;
	gpointer user_data;
} Start;

char *units_name(guint32 dev_id)
{
	return g_strdup_printf("ublk-server-%u.service", dev_id);
}

static void call(const char *method, GVariant *parameters, GAsyncReadyCallback done,
		 gpointer user_data)
{
	g_dbus_connection_call(connection, SYSTEMD, SYSTEMD_PATH, SYSTEMD_IFACE, method, parameters,
			       NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, done, user_data);
}

static gboolean is_no_such_unit(const GError *error)
{
	g_autofree char *name = g_dbus_error_get_remote_error(error);

	return g_strcmp0(name, SYSTEMD ".NoSuchUnit") == 0;
}

static void wait_end(Wait *wait, const GError *error)
{
	waits = g_list_remove(waits, wait);
	g_clear_handle_id(&wait->deadline, g_source_remove);
	wait->done(error, wait->user_data);
	g_free(wait->unit);
	g_free(wait->job);
	g_free(wait->name);
	g_free(wait);
}

static gboolean on_deadline(gpointer user_data)
{
	Wait *wait = user_data;
	g_autoptr(GError) error = g_error_new(UBLK_ERROR, UBLK_ERROR_TIMED_OUT,
					      wait->unit ? "systemd did not stop %s in time"
							 : "%s did not end in time",
					      wait->name);

	wait->deadline = 0;
	wait_end(wait, error);
	return G_SOURCE_REMOVE;
}

static Wait *wait_new(const char *name, guint timeout_ms, UnitsDone done, gpointer user_data)
{
	Wait *wait = g_new0(Wait, 1);

	wait->name = g_strdup(name);
	wait->done = done;
	wait->user_data = user_data;
	wait->deadline = g_timeout_add(timeout_ms, on_deadline, wait);
	waits = g_list_prepend(waits, wait);
	return wait;
}

/* systemd has forgotten the unit: everybody who waits for that is done. */
static void forgotten(const char *unit)
{
	for (GList *l = waits; l;) {
		Wait *wait = l->data;

		if (wait->unit && g_str_equal(wait->unit, unit)) {
			wait_end(wait, NULL);
			l = waits; /* the list may be another one now */
		} else {
			l = l->next;
		}
	}
}

static void on_asked(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree char *unit = user_data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant)
		reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

	if (!reply && is_no_such_unit(error))
		forgotten(unit);
}

/* Is it really forgotten? systemd says UnitRemoved also when it only reads its configuration again.
 */
static void ask_about(const char *unit)
{
	for (GList *l = waits; l; l = l->next) {
		const Wait *wait = l->data;

		if (wait->unit && g_str_equal(wait->unit, unit)) {
			call("GetUnit", g_variant_new("(s)", unit), on_asked, g_strdup(unit));
			return;
		}
	}
}

static void on_unit_removed(GDBusConnection *bus, const char *sender, const char *path,
			    const char *interface, const char *signal, GVariant *parameters,
			    gpointer unused)
{
	const char *unit;

	g_variant_get(parameters, "(&s&o)", &unit, NULL);
	ask_about(unit);
}

static void on_job_removed(GDBusConnection *bus, const char *sender, const char *path,
			   const char *interface, const char *signal, GVariant *parameters,
			   gpointer unused)
{
	const char *job, *result;

	g_variant_get(parameters, "(u&o&s&s)", NULL, &job, NULL, &result);
	for (GList *l = waits; l; l = l->next) {
		Wait *wait = l->data;
		g_autoptr(GError) error = NULL;

		if (g_strcmp0(wait->job, job) != 0)
			continue;
		if (!g_str_equal(result, "done"))
			error = g_error_new(UBLK_ERROR, UBLK_ERROR_KERNEL, "%s: %s", wait->name,
					    result);
		wait_end(wait, error);
		return;
	}
}

static guint subscribe(const char *signal, GDBusSignalCallback callback)
{
	return g_dbus_connection_signal_subscribe(connection, SYSTEMD, SYSTEMD_IFACE, signal,
						  SYSTEMD_PATH, NULL, G_DBUS_SIGNAL_FLAGS_NONE,
						  callback, NULL, NULL);
}

void units_init(GDBusConnection *bus)
{
	connection = g_object_ref(bus);
	unit_removed = subscribe("UnitRemoved", on_unit_removed);
	job_removed = subscribe("JobRemoved", on_job_removed);
	/* systemd sends its signals only while somebody has asked for them */
	call("Subscribe", NULL, NULL, NULL);
}

void units_quit(void)
{
	if (connection) {
		g_dbus_connection_signal_unsubscribe(connection, unit_removed);
		g_dbus_connection_signal_unsubscribe(connection, job_removed);
	}
	g_clear_object(&connection);
}

/* ---- how a server ended ---- */

typedef struct {
	UnitsTrouble trouble;
	UnitsEnded ended; /* NULL: was told */
	gpointer user_data;
} Watch;

/* `result` is systemd's own judgement of the unit. NULL: the process has not ended. */
static char *describe_end(int code, int status, const char *result)
{
	const char *why = "";

	if (code == CLD_EXITED)
		return g_strdup_printf("exited with status %d", status);
	if (code != CLD_KILLED && code != CLD_DUMPED)
		return NULL;
	if (g_str_equal(result, "oom-kill"))
		why = ": there was no memory left";
	else if (g_str_equal(result, "timeout"))
		why = ": it had not left in time when it was told to";
	else if (status == SIGKILL)
		why = ", which ublkd did not ask for: the kernel does that when a request has been "
		      "unanswered for 30 seconds, or when memory runs out; or somebody did it";
	return g_strdup_printf("was killed by signal %d (%s)%s", status, g_strsignal(status), why);
}

static void on_unit_changed(GDBusConnection *bus, const char *sender, const char *path,
			    const char *interface, const char *signal, GVariant *parameters,
			    gpointer user_data)
{
	Watch *watch = user_data;
	g_autoptr(GVariant) properties = g_variant_get_child_value(parameters, 1);
	UnitsEnded ended = watch->ended;
	g_autofree char *how = NULL;
	const char *result = "", *text = "";
	gint32 code = 0, status = 0, number = 0;

	g_variant_lookup(properties, "StatusErrno", "i", &number);
	g_variant_lookup(properties, "StatusText", "&s", &text);
	if (number && *text)
		watch->trouble(text, watch->user_data);
	g_variant_lookup(properties, "ExecMainCode", "i", &code);
	g_variant_lookup(properties, "ExecMainStatus", "i", &status);
	g_variant_lookup(properties, "Result", "&s", &result);
	how = describe_end(code, status, result);
	if (!how || !ended)
		return;
	watch->ended = NULL;
	ended(code == CLD_EXITED && status == 0, how, watch->user_data);
}

/* The path of a unit's object: what is no letter or digit is written as _ and two hex digits. */
static char *make_unit_path(const char *unit)
{
	GString *path = g_string_new(SYSTEMD_PATH "/unit/");

	for (const char *p = unit; *p; p++) {
		if (g_ascii_isalnum(*p))
			g_string_append_c(path, *p);
		else
			g_string_append_printf(path, "_%02x", (guchar)*p);
	}
	return g_string_free(path, FALSE);
}

guint units_watch(const char *unit, UnitsTrouble trouble, UnitsEnded ended, gpointer user_data)
{
	g_autofree char *path = make_unit_path(unit);
	Watch *watch = g_new(Watch, 1);

	watch->trouble = trouble;
	watch->ended = ended;
	watch->user_data = user_data;
	return g_dbus_connection_signal_subscribe(
		connection, SYSTEMD, "org.freedesktop.DBus.Properties", "PropertiesChanged", path,
		SYSTEMD ".Service", G_DBUS_SIGNAL_FLAGS_NONE, on_unit_changed, watch, g_free);
}

void units_unwatch(guint watch)
{
	if (connection)
		g_dbus_connection_signal_unsubscribe(connection, watch);
}

/* ---- starting and stopping ---- */

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
	/* The server makes its own mount namespace, and its own, narrower filter. */
	static const char *const calls[] = { "@system-service",
					     "mount",
					     "umount2",
					     "open_tree",
					     "pivot_root",
					     "seccomp",
					     "landlock_create_ruleset",
					     "landlock_add_rule",
					     "landlock_restrict_self",
					     NULL };
	static const char *const native[] = { "native", NULL };
	g_autofree char *node = g_strdup_printf("/dev/ublkc%u", dev_id);
	GVariantBuilder devices;

	add_bool(b, "NoNewPrivileges", TRUE);
	add_uint64(b, "CapabilityBoundingSet", 0);
	add_uint64(b, "AmbientCapabilities", 0);
	/*
	 * A mount namespace of its own into which no mount of the host's comes after the start. The
	 * server leaves it for an empty one (server/sandbox/mount-namespace.c says why); where user
	 * namespaces are forbidden it cannot, and this at least keeps it from its own device.
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
	add_uint64(b, "RestrictNamespaces", CLONE_NEWUSER | CLONE_NEWNS);
	g_variant_builder_add(b, "(sv)", "SystemCallArchitectures", g_variant_new_strv(native, -1));
	add_list(b, "SystemCallFilter", calls);

	/* its own node, and block devices as backing where the user may open them */
	add_string(b, "DevicePolicy", "closed");
	g_variant_builder_init(&devices, G_VARIANT_TYPE("a(ss)"));
	g_variant_builder_add(&devices, "(ss)", node, "rw");
	g_variant_builder_add(&devices, "(ss)", "block-*", "rw");
	g_variant_builder_add(b, "(sv)", "DeviceAllow", g_variant_builder_end(&devices));
}

static void add_program(GVariantBuilder *b, const char *const *argv)
{
	GVariantBuilder exec;

	g_variant_builder_init(&exec, G_VARIANT_TYPE("a(sasb)"));
	g_variant_builder_add(&exec, "(s@asb)", argv[0], g_variant_new_strv(argv, -1), FALSE);
	g_variant_builder_add(b, "(sv)", "ExecStart", g_variant_builder_end(&exec));
}

/* What a server and what opens a device have in common: all that keeps a user's process in check.
 */
static void add_common(GVariantBuilder *b, guint32 dev_id, uid_t uid, gid_t gid,
		       const char *const *argv)
{
	g_autofree char *user = g_strdup_printf("%u", uid);
	g_autofree char *group = g_strdup_printf("%u", gid);
	g_autofree char *slice = uid == 0 ? g_strdup("system.slice")
					  : g_strdup_printf("user-%u.slice", uid);

	add_program(b, argv);
	add_string(b, "User", user);
	add_string(b, "Group", group);
	add_string(b, "Slice", slice);
	/* one that failed is forgotten too: its messages are in the journal */
	add_string(b, "CollectMode", "inactive-or-failed");
	g_variant_builder_add(b, "(sv)", "StandardInputFileDescriptor", g_variant_new_handle(0));
	add_string(b, "StandardOutput", "journal");
	add_string(b, "StandardError", "journal");
	add_uint64(b, "TimeoutStopUSec", STOP_USEC);
	add_confinement(b, dev_id);
}

static void on_started(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree Start *start = user_data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GError) told = NULL;
	g_autoptr(GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish(
		G_DBUS_CONNECTION(source), NULL, result, &error);

	if (!reply) {
		g_dbus_error_strip_remote_error(error);
		told = g_error_new(UBLK_ERROR, UBLK_ERROR_KERNEL,
				   "systemd does not start the server: %s", error->message);
	}
	start->done(told, start->user_data);
}

/* Takes `properties`, a(sv). */
static void start(const char *unit, GVariantBuilder *properties, int stdin_fd,
		  GCancellable *cancellable, UnitsDone done, gpointer user_data)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	Start *call = g_new0(Start, 1);

	call->done = done;
	call->user_data = user_data;
	g_unix_fd_list_append(fds, stdin_fd, NULL);
	/*
	 * "replace", as logind does for a user's session: systemd stops the user's slice when
	 * nothing is in it any more, and a unit that comes while it does so makes it stay. What
	 * stops for good, as at the machine's end, cannot be replaced.
	 */
	g_dbus_connection_call_with_unix_fd_list(
		connection, SYSTEMD, SYSTEMD_PATH, SYSTEMD_IFACE, "StartTransientUnit",
		g_variant_new("(ssa(sv)a(sa(sv)))", unit, "replace", properties, NULL),
		G_VARIANT_TYPE("(o)"), G_DBUS_CALL_FLAGS_NONE, -1, fds, cancellable, on_started,
		call);
}

void units_start(const char *unit, guint32 dev_id, uid_t uid, gid_t gid, const char *const *argv,
		 int stdin_fd, GCancellable *cancellable, UnitsDone done, gpointer user_data)
{
	static const char *const later[] = { "remote-fs-pre.target", NULL };
	g_autofree char *description = g_strdup_printf("Server of block device ublkb%u", dev_id);
	GVariantBuilder properties;

	g_variant_builder_init(&properties, G_VARIANT_TYPE("a(sv)"));
	add_string(&properties, "Description", description);
	add_string(&properties, "Type", "notify");
	add_string(&properties, "SyslogIdentifier", "ublk-server");
	/*
	 * When the system goes down, what fstab mounted with _netdev goes first. Root's alone: no
	 * user is to have a say in when the system's file systems are mounted.
	 */
	if (uid == 0)
		g_variant_builder_add(&properties, "(sv)", "Before", g_variant_new_strv(later, -1));
	add_common(&properties, dev_id, uid, gid, argv);
	start(unit, &properties, stdin_fd, cancellable, done, user_data);
}

void units_open(const char *unit, guint32 dev_id, uid_t uid, gid_t gid, const char *const *argv,
		int stdin_fd, UnitsDone done, gpointer user_data)
{
	g_autofree char *description = g_strdup_printf("Opening block device ublkb%u", dev_id);
	GVariantBuilder properties;

	g_variant_builder_init(&properties, G_VARIANT_TYPE("a(sv)"));
	add_string(&properties, "Description", description);
	add_string(&properties, "Type", "exec");
	add_string(&properties, "SyslogIdentifier", "ublk-open");
	/* its user may stop it; nobody waits for it then */
	add_uint64(&properties, "RuntimeMaxUSec", OPEN_USEC);
	add_common(&properties, dev_id, uid, gid, argv);
	start(unit, &properties, stdin_fd, NULL, done, user_data);
}

static void on_stopped(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree char *unit = user_data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant)
		reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

	if (error && !is_no_such_unit(error))
		g_warning("cannot stop %s: %s", unit, error->message);
	/* it may have been forgotten before this answer came; if not, UnitRemoved or the deadline
	 * tells */
	ask_about(unit);
}

void units_stop(const char *unit, guint timeout_ms, UnitsDone done, gpointer user_data)
{
	Wait *wait = wait_new(unit, timeout_ms, done, user_data);

	wait->unit = g_strdup(unit);
	call("StopUnit", g_variant_new("(ss)", unit, "replace"), on_stopped, g_strdup(unit));
}

/* A Wait that a reply is for may be over by then: it is looked up by the number of its deadline. */
static Wait *wait_find(guint deadline)
{
	for (GList *l = waits; l; l = l->next) {
		Wait *wait = l->data;

		if (wait->deadline == deadline)
			return wait;
	}
	return NULL;
}

static void on_run(GObject *source, GAsyncResult *result, gpointer user_data)
{
	Wait *wait = wait_find(GPOINTER_TO_UINT(user_data));
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant)
		reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

	if (!wait)
		return;
	if (reply) {
		g_variant_get(reply, "(o)", &wait->job);
		return;
	}
	g_dbus_error_strip_remote_error(error);
	wait_end(wait, error);
}

void units_run(const char *unit, const char *const *argv, guint timeout_ms, UnitsDone done,
	       gpointer user_data)
{
	Wait *wait = wait_new(unit, timeout_ms, done, user_data);
	GVariantBuilder properties;

	g_variant_builder_init(&properties, G_VARIANT_TYPE("a(sv)"));
	/* the job is done when the program has ended */
	add_string(&properties, "Type", "oneshot");
	add_program(&properties, argv);
	add_string(&properties, "CollectMode", "inactive-or-failed");
	call("StartTransientUnit",
	     g_variant_new("(ssa(sv)a(sa(sv)))", unit, "fail", &properties, NULL), on_run,
	     GUINT_TO_POINTER(wait->deadline));
}
