/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "errors.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "output.h"
#include "ublk-dbus.h"

#define UBLK_GROUP "ublk"

G_DEFINE_QUARK(ublk - client - error, client_error)

/* Errors by their names on the bus. */
static const struct {
	const char *name;
	enum exit_code code;
	const char *hint;
} bus_errors[] = {
	{ UBLK_BUS_ERROR_INVALID_ARGUMENT, EXIT_CODE_USAGE, NULL },
	{ UBLK_BUS_ERROR_NOT_FOUND, EXIT_CODE_NOT_FOUND, NULL },
	{ UBLK_BUS_ERROR_EXISTS, EXIT_CODE_BUSY, NULL },
	{ UBLK_BUS_ERROR_BUSY, EXIT_CODE_BUSY, NULL },
	{ UBLK_BUS_ERROR_INVALID_STATE, EXIT_CODE_FAILURE, NULL },
	{ UBLK_BUS_ERROR_LIMIT_EXCEEDED, EXIT_CODE_BUSY, NULL },
	{ UBLK_BUS_ERROR_NOT_SUPPORTED, EXIT_CODE_FAILURE, NULL },
	{ UBLK_BUS_ERROR_TIMED_OUT, EXIT_CODE_TIMEOUT, NULL },
	{ UBLK_BUS_ERROR_KERNEL, EXIT_CODE_FAILURE, NULL },
	{ UBLK_BUS_ERROR_ACCESS_DENIED, EXIT_CODE_NOT_AUTHORIZED, NULL },
	{ UBLK_BUS_ERROR_INTERACTIVE, EXIT_CODE_NOT_AUTHORIZED, NULL },
	{ "org.freedesktop.DBus.Error.ServiceUnknown", EXIT_CODE_FAILURE,
	  "ublkd is not installed, or not running: install it, or `systemctl start ublkd`" },
	{ "org.freedesktop.DBus.Error.NameHasNoOwner", EXIT_CODE_FAILURE,
	  "ublkd is not running: `systemctl start ublkd`" },
	{ "org.freedesktop.DBus.Error.NoReply", EXIT_CODE_TIMEOUT,
	  "ublkd did not answer: `journalctl -u ublkd` may tell why" },
	{ "org.freedesktop.DBus.Error.TimedOut", EXIT_CODE_TIMEOUT,
	  "ublkd did not answer: `journalctl -u ublkd` may tell why" },
	{ "org.freedesktop.DBus.Error.Timeout", EXIT_CODE_TIMEOUT,
	  "ublkd did not answer: `journalctl -u ublkd` may tell why" },
	{ "org.freedesktop.DBus.Error.UnknownObject", EXIT_CODE_NOT_FOUND, NULL },
	/* what GDBus says of an object that has gone */
	{ "org.freedesktop.DBus.Error.UnknownMethod", EXIT_CODE_NOT_FOUND, NULL },
	{ "org.freedesktop.DBus.Error.LimitsExceeded", EXIT_CODE_BUSY, NULL },
};

gboolean errors_set_errno(GError **error, int saved, const char *format, ...)
{
	g_autofree char *what = NULL;
	va_list arguments;

	va_start(arguments, format);
	what = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error(error, CLIENT_ERROR, saved == ENOENT ? EXIT_CODE_NOT_FOUND : EXIT_CODE_FAILURE,
		    "%s: %s", what, g_strerror(saved));
	return FALSE;
}

int errors_get_exit_code(const GError *error)
{
	g_autofree char *name = NULL;

	if (error->domain == CLIENT_ERROR)
		return error->code;
	if (error->domain == G_OPTION_ERROR)
		return EXIT_CODE_USAGE;
	/* A known name becomes GLib's own code, an unknown one G_IO_ERROR_DBUS_ERROR: take the
	 * name. */
	name = g_dbus_error_is_remote_error(error) ? g_dbus_error_get_remote_error(error) : NULL;
	for (gsize i = 0; name && i < G_N_ELEMENTS(bus_errors); i++)
		if (strcmp(bus_errors[i].name, name) == 0)
			return bus_errors[i].code;
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
		return EXIT_CODE_TIMEOUT;
	return EXIT_CODE_FAILURE;
}

static gboolean process_has_group(gid_t gid)
{
	int count = getgroups(0, NULL);
	g_autofree gid_t *groups = g_new0(gid_t, MAX(count, 0) + 1);

	count = getgroups(count, groups);
	for (int i = 0; i < count; i++)
		if (groups[i] == gid)
			return TRUE;
	return getegid() == gid;
}

enum errors_membership errors_get_membership(const char *user)
{
	const struct group *group = getgrnam(UBLK_GROUP);

	if (!group)
		return ERRORS_NO_GROUP;
	if (process_has_group(group->gr_gid))
		return ERRORS_MEMBER;
	for (char **member = group->gr_mem; *member; member++)
		if (strcmp(*member, user) == 0)
			return ERRORS_MEMBER_BUT_OLD_SESSION;
	return ERRORS_NOT_A_MEMBER;
}

char *errors_describe_membership(enum errors_membership membership, const char *user)
{
	switch (membership) {
	case ERRORS_NO_GROUP:
		return NULL;
	case ERRORS_NOT_A_MEMBER:
		return g_strdup_printf("members of the group " UBLK_GROUP " may: an administrator "
				       "can say `usermod -aG " UBLK_GROUP " %s`, then log in again",
				       user);
	case ERRORS_MEMBER_BUT_OLD_SESSION:
		return g_strdup_printf("%s was put into the group " UBLK_GROUP
				       " after this session began: log in again",
				       user);
	case ERRORS_MEMBER:
		return g_strdup(
			"members of the group " UBLK_GROUP
			" usually may: a polkit rule of the administrator's says otherwise");
	}
	return NULL;
}

static char *get_create_hint(void)
{
	const struct passwd *user = getpwuid(getuid());
	g_autofree char *name = NULL;

	/* In a user namespace neither groups nor names are the host's. */
	if (output_is_namespaced())
		return g_strdup("in a rootless container the group " UBLK_GROUP
				" counts only if its user's groups are kept: "
				"`podman run --group-add keep-groups`");
	if (!user)
		return NULL;
	/* A copy: the next look-up uses the same memory. */
	name = g_strdup(user->pw_name);
	return errors_describe_membership(errors_get_membership(name), name);
}

static char *get_denied_hint(const GError *error, gboolean creating)
{
	if (!strstr(error->message, "not authorized"))
		return NULL;
	if (strstr(error->message, UBLK_ACTION_MANAGE_OTHERS))
		return g_strdup("the device is somebody else's, who may do it without");
	return creating ? get_create_hint() : NULL;
}

/*
 * ublkd cannot see this sysctl; we can, unless we are in a container that hides it. Where it is 2,
 * udev's helper cannot ask the kernel either, whose a device is, and ublkd waits for it in vain.
 */
static char *get_uring_hint(void)
{
	g_autofree char *disabled = NULL;
	g_autofree char *group = NULL;

	if (!g_file_get_contents("/proc/sys/kernel/io_uring_disabled", &disabled, NULL, NULL))
		return NULL;
	g_strchomp(disabled);
	if (strcmp(disabled, "2") == 0)
		return g_strdup(
			"sysctl kernel.io_uring_disabled is 2, which forbids it to everybody, "
			"root included: set it to 0, or to 1 with kernel.io_uring_group");
	if (strcmp(disabled, "1") != 0)
		return NULL;
	if (g_file_get_contents("/proc/sys/kernel/io_uring_group", &group, NULL, NULL))
		g_strchomp(group);
	return g_strdup_printf("sysctl kernel.io_uring_disabled is 1, which allows it to the group "
			       "kernel.io_uring_group (%s) alone: give that group to ublkd "
			       "(SupplementaryGroups= in a drop-in) and to the user, or set "
			       "kernel.io_uring_disabled to 0",
			       group ? group : "?");
}

char *errors_get_hint(const GError *error, gboolean creating)
{
	g_autofree char *name = NULL;

	if (!g_dbus_error_is_remote_error(error))
		return NULL;
	name = g_dbus_error_get_remote_error(error);
	/* ublkd's own refusal; the bus and the kernel deny access too, and not for want of a group.
	 */
	if (strcmp(name, UBLK_BUS_ERROR_ACCESS_DENIED) == 0 ||
	    strcmp(name, UBLK_BUS_ERROR_INTERACTIVE) == 0)
		return get_denied_hint(error, creating);
	if (strcmp(name, UBLK_BUS_ERROR_NOT_SUPPORTED) == 0 ||
	    strcmp(name, UBLK_BUS_ERROR_KERNEL) == 0) {
		if (strstr(error->message, "ublkd cannot use io_uring"))
			return get_uring_hint();
		if (output_is_namespaced() || !strstr(error->message, "no ublk driver"))
			return NULL;
		return driver_describe_here();
	}
	if (strcmp(name, UBLK_BUS_ERROR_TIMED_OUT) == 0 && strstr(error->message, "udev"))
		return get_uring_hint();
	if (strstr(error->message, "in the journal"))
		return g_strdup("`journalctl -t ublk-server -n 20` shows the last ones");
	for (gsize i = 0; i < G_N_ELEMENTS(bus_errors); i++)
		if (strcmp(bus_errors[i].name, name) == 0)
			return g_strdup(bus_errors[i].hint);
	if (g_str_has_prefix(name, "org.freedesktop.DBus.Error.Spawn.") ||
	    g_str_has_prefix(name, "org.freedesktop.systemd1."))
		return g_strdup("ublkd could not be started: `systemctl status ublkd` tells why");
	return NULL;
}

void errors_print(const GError *error, gboolean creating)
{
	g_autoptr(GError) copy = g_error_copy(error);
	g_autofree char *hint = errors_get_hint(error, creating);
	g_autofree char *message = NULL;
	gsize length;

	g_dbus_error_strip_remote_error(copy);
	message = output_escape_text(copy->message);
	length = strlen(message);
	while (length > 0 && strchr(".\n ", message[length - 1]))
		message[--length] = '\0';
	fprintf(stderr, "%s: %s%s%s\n", g_get_prgname(), message, hint ? "; " : "",
		hint ? hint : "");
	if (errors_get_exit_code(error) == EXIT_CODE_USAGE && !g_dbus_error_is_remote_error(error))
		fprintf(stderr, "See `%s --help`.\n", g_get_prgname());
}
