/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus, ublkd, polkit: whether they are there, and what they say of us. */
#include "doctor.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "deadline.h"
#include "errors.h"

#define DBUS             "org.freedesktop.DBus"
#define POLKIT           "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_AUTHORITY "org.freedesktop.PolicyKit1.Authority"
#define TIMEOUT_MS       25000

static GVariant *call(const Doctor *doctor, const char *name, const char *path,
		      const char *interface, const char *method, GVariant *parameters,
		      const char *reply_type, GError **error)
{
	return g_dbus_connection_call_sync(doctor->bus->connection, name, path, interface, method,
					   parameters, G_VARIANT_TYPE(reply_type),
					   G_DBUS_CALL_FLAGS_NONE, deadline_get_left_ms(TIMEOUT_MS),
					   NULL, error);
}

/* What the error says and what to do, as other verbs print it. */
static void add_error(Doctor *doctor, const char *subject, const char *what, const GError *error)
{
	g_autofree char *hint = errors_get_hint(error, TRUE);
	g_autoptr(GError) copy = g_error_copy(error);

	g_dbus_error_strip_remote_error(copy);
	doctor_add(doctor, FINDING_BAD, subject, hint, "%s: %s", what, copy->message);
}

/*
 * Whether the name has an owner, or can have one by being called. Where the bus does not say, the
 * call that follows will.
 */
static gboolean can_be_called(const Doctor *doctor, const char *name)
{
	static const char *const lists[] = { "ListNames", "ListActivatableNames" };

	for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
		g_autoptr(GVariant) reply = call(doctor, DBUS, "/org/freedesktop/DBus", DBUS,
						 lists[i], NULL, "(as)", NULL);
		g_autofree const char **names = NULL;

		if (!reply)
			return TRUE;
		g_variant_get(reply, "(^a&s)", &names);
		if (g_strv_contains(names, name))
			return TRUE;
	}
	return FALSE;
}

/* What devices of ordinary users could have and this kernel's driver does not know. */
static void check_features(Doctor *doctor, GVariant *properties, const char *const *present)
{
	g_autoptr(GVariant) table =
		g_variant_lookup_value(properties, "FeatureTable", G_VARIANT_TYPE("a(ssss)"));
	g_autoptr(GString) lacking = g_string_new(NULL);
	const char *name, *since, *fate;
	GVariantIter iter;

	if (!table)
		return;
	g_variant_iter_init(&iter, table);
	while (g_variant_iter_next(&iter, "(&s&s&s&s)", &name, &since, &fate, NULL))
		if (g_str_equal(fate, "allowed") && !g_strv_contains(present, name))
			g_string_append_printf(lacking, "%s%s (Linux %s)", lacking->len ? ", " : "",
					       name, since);
	if (lacking->len)
		doctor_add(doctor, FINDING_NOTE, "features", NULL,
			   "this kernel's driver lacks %s; `ublk-client features` tells what they "
			   "are for",
			   lacking->str);
	else
		doctor_add(doctor, FINDING_GOOD, "features", NULL,
			   "this kernel's driver has all that devices of ordinary users can use");
}

static gboolean check_ublkd(Doctor *doctor)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = NULL, properties = NULL;
	g_autofree const char **features = NULL;
	const char *version = "";

	if (!can_be_called(doctor, UBLK_BUS_NAME)) {
		doctor_add(doctor, FINDING_BAD, "ublkd", "apt install ublkd ublk-server",
			   "it is not installed, or the bus does not know it yet");
		return FALSE;
	}
	reply = call(doctor, UBLK_BUS_NAME, UBLK_BUS_MANAGER_PATH,
		     "org.freedesktop.DBus.Properties", "GetAll",
		     g_variant_new("(s)", UBLK_BUS_MANAGER_INTERFACE), "(a{sv})", &error);
	if (!reply) {
		add_error(doctor, "ublkd", "it does not answer", error);
		return FALSE;
	}
	properties = g_variant_get_child_value(reply, 0);
	g_variant_lookup(properties, "Version", "&s", &version);
	if (!g_variant_lookup(properties, "KernelFeatures", "^a&s", &features) || !*features)
		doctor_add(doctor, FINDING_BAD, "ublkd", "systemctl restart ublkd",
			   "it runs, and cannot use the driver; if that is in order by now, a "
			   "restart helps");
	else if (strcmp(version, UBLKD_VERSION) != 0)
		doctor_add(doctor, FINDING_BAD, "ublkd", "systemctl restart ublkd",
			   "it is version %s, and this program %s", version, UBLKD_VERSION);
	else
		doctor_add(doctor, FINDING_GOOD, "ublkd", NULL,
			   "version %s answers, and can use the driver", version);
	if (features && *features)
		check_features(doctor, properties, features);
	return TRUE;
}

static void check_server(Doctor *doctor)
{
	g_autofree char *path = doctor_get_path(doctor, UBLK_SERVER_PATH);

	if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
		doctor_add(doctor, FINDING_GOOD, "server", NULL, UBLK_SERVER_PATH " is there");
	else
		doctor_add(doctor, FINDING_BAD, "server", "apt install ublk-server",
			   UBLK_SERVER_PATH " is not there: nothing can serve a device");
}

/* What to do for who needs a password. */
static char *explain_refusal(const Doctor *doctor)
{
	const struct passwd *user = doctor->contained ? NULL : getpwuid(getuid());
	g_autofree char *name = user ? g_strdup(user->pw_name) : NULL;

	if (!name)
		return g_strdup("podman run --group-add keep-groups …");
	if (errors_get_membership(name) == ERRORS_NO_GROUP)
		return g_strdup("systemd-sysusers");
	return errors_describe_membership(errors_get_membership(name), name);
}

/* The authority's own word, by its rules and ours: the group is but one reason. */
static void check_polkit(Doctor *doctor)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = NULL;
	g_autofree char *remedy = NULL;
	gboolean authorized, challenge;
	GVariantBuilder subject;

	if (doctor->uid == 0 && !doctor->contained) {
		doctor_add(doctor, FINDING_GOOD, "polkit", NULL, "root is not asked for");
		return;
	}
	if (!can_be_called(doctor, POLKIT)) {
		doctor_add(doctor, FINDING_BAD, "polkit", "apt install polkitd",
			   "it is not there: only root may make devices");
		return;
	}
	g_variant_builder_init(&subject, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(
		&subject, "{sv}", "name",
		g_variant_new_string(g_dbus_connection_get_unique_name(doctor->bus->connection)));
	reply = call(doctor, POLKIT, POLKIT_PATH, POLKIT_AUTHORITY, "CheckAuthorization",
		     g_variant_new("((sa{sv})s@a{ss}us)", "system-bus-name", &subject,
				   UBLK_ACTION_CREATE,
				   g_variant_new_array(G_VARIANT_TYPE("{ss}"), NULL, 0), 0, ""),
		     "((bba{ss}))", &error);
	if (!reply) {
		add_error(doctor, "polkit", "it does not say who may make devices", error);
		return;
	}
	g_variant_get(reply, "((bba{ss}))", &authorized, &challenge, NULL);
	remedy = authorized ? NULL : explain_refusal(doctor);
	doctor_add(doctor, authorized ? FINDING_GOOD : FINDING_BAD, "polkit", remedy,
		   authorized  ? "you may make devices"
		   : challenge ? "making a device takes an administrator's password"
			       : "you may not make devices");
}

static void check_limits(Doctor *doctor)
{
	g_autoptr(GVariant) reply = call(
		doctor, UBLK_BUS_NAME, UBLK_BUS_MANAGER_PATH, UBLK_BUS_MANAGER_INTERFACE,
		"GetLimits", g_variant_new("(@a{sv})", bus_no_options()), "(a{sv}a{sv})", NULL);
	g_autoptr(GVariant) limits = reply ? g_variant_get_child_value(reply, 0) : NULL;
	g_autoptr(GVariant) uses = reply ? g_variant_get_child_value(reply, 1) : NULL;
	guint32 limit, use, total, total_use;
	gboolean full;

	if (!reply || !g_variant_lookup(limits, "devices-per-user", "u", &limit) ||
	    !g_variant_lookup(uses, "devices-per-user", "u", &use) ||
	    !g_variant_lookup(limits, "devices-total", "u", &total) ||
	    !g_variant_lookup(uses, "devices-total", "u", &total_use))
		return;
	full = use >= limit || total_use >= total;
	doctor_add(doctor, full ? FINDING_BAD : FINDING_GOOD, "limits",
		   full ? "ublk-client del DEVICE; or larger limits in " UBLKD_CONF
			  ", then systemctl reload ublkd"
			: NULL,
		   "you have %u of %u devices, and all users together %u of %u", use, limit,
		   total_use, total);
}

void doctor_check_service(Doctor *doctor)
{
	g_autoptr(GError) error = NULL;

	doctor->bus = bus_connect(FALSE, &error);
	if (!doctor->bus) {
		doctor_add(doctor, FINDING_BAD, "bus",
			   doctor->contained
				   ? "podman run -v "
				     "/run/dbus/system_bus_socket:/run/dbus/system_bus_socket …"
				   : "systemctl start dbus",
			   "%s", error->message);
		return;
	}
	bus_get_uid(doctor->bus, &doctor->uid, NULL);
	doctor_add(doctor, FINDING_GOOD, "bus", NULL, "it can be reached, as user id %u",
		   doctor->uid);
	if (check_ublkd(doctor)) {
		check_polkit(doctor);
		check_limits(doctor);
	}
	check_server(doctor);
}
