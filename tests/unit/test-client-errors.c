/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exit codes, which scripts depend on, and what a person is told to do (client/errors.h). */
#include "errors.h"
#include "ublk-dbus.h"

static void test_exit_codes(void)
{
	static const struct {
		const char *name;
		int code;
	} errors[] = {
		{ UBLK_BUS_ERROR_INVALID_ARGUMENT, 2 },
		{ UBLK_BUS_ERROR_NOT_FOUND, 3 },
		{ UBLK_BUS_ERROR_EXISTS, 5 },
		{ UBLK_BUS_ERROR_BUSY, 5 },
		{ UBLK_BUS_ERROR_INVALID_STATE, 1 },
		{ UBLK_BUS_ERROR_LIMIT_EXCEEDED, 5 },
		{ UBLK_BUS_ERROR_NOT_SUPPORTED, 1 },
		{ UBLK_BUS_ERROR_TIMED_OUT, 6 },
		{ UBLK_BUS_ERROR_KERNEL, 1 },
		{ UBLK_BUS_ERROR_ACCESS_DENIED, 4 },
		{ UBLK_BUS_ERROR_INTERACTIVE, 4 },
		{ "org.freedesktop.DBus.Error.ServiceUnknown", 1 },
		{ "org.freedesktop.DBus.Error.NoReply", 6 },
		{ "org.freedesktop.DBus.Error.UnknownObject", 3 },
		{ "com.example.Unknown", 1 },
	};
	g_autoptr(GError) timeout = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "");
	g_autoptr(GError) other = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CLOSED, "");
	g_autoptr(GError)
		option = g_error_new_literal(G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION, "");

	for (gsize i = 0; i < G_N_ELEMENTS(errors); i++) {
		g_autoptr(GError) error = g_dbus_error_new_for_dbus_error(errors[i].name, "x");

		g_test_message("%s", errors[i].name);
		g_assert_cmpint(errors_get_exit_code(error), ==, errors[i].code);
	}
	g_assert_cmpint(errors_get_exit_code(timeout), ==, 6);
	g_assert_cmpint(errors_get_exit_code(other), ==, 1);
	g_assert_cmpint(errors_get_exit_code(option), ==, 2);
}

static char *get_hint(const char *name, const char *message, gboolean creating)
{
	g_autoptr(GError) error = g_dbus_error_new_for_dbus_error(name, message);

	return errors_get_hint(error, creating);
}

static void test_hints(void)
{
	g_autofree char *absent = get_hint("org.freedesktop.DBus.Error.ServiceUnknown", "x", TRUE);
	g_autofree char *broken =
		get_hint("org.freedesktop.DBus.Error.Spawn.ExecFailed", "x", TRUE);
	g_autofree char *ended = get_hint(
		UBLK_BUS_ERROR_INVALID_STATE,
		"the server ended before it was ready (its messages are in the journal)", TRUE);

	g_assert_nonnull(strstr(ended, "journalctl -t ublk-server"));
	g_assert_nonnull(strstr(absent, "systemctl start ublkd"));
	g_assert_nonnull(strstr(broken, "systemctl status ublkd"));
	/* ublkd says all that there is to say. */
	g_assert_null(get_hint(UBLK_BUS_ERROR_EXISTS, "x", TRUE));
	/* Groups have nothing to do with these refusals. */
	g_assert_null(get_hint(UBLK_BUS_ERROR_ACCESS_DENIED,
			       "the kernel refused to add the device: permission denied", TRUE));
	g_assert_null(
		get_hint(UBLK_BUS_ERROR_ACCESS_DENIED, "Rejected send message, 3 matched", TRUE));
	g_assert_null(
		get_hint(UBLK_BUS_ERROR_INTERACTIVE, "not authorized to delete a device", FALSE));
}

static void test_membership(void)
{
	g_autofree char *stranger = errors_describe_membership(ERRORS_NOT_A_MEMBER, "carol");
	g_autofree char *early = errors_describe_membership(ERRORS_MEMBER_BUT_OLD_SESSION, "carol");
	g_autofree char *member = errors_describe_membership(ERRORS_MEMBER, "carol");

	g_assert_nonnull(strstr(stranger, "usermod -aG ublk carol"));
	g_assert_nonnull(strstr(stranger, "log in again"));
	/* One who is a member already must not be told to become one. */
	g_assert_null(strstr(early, "usermod"));
	g_assert_nonnull(strstr(early, "log in again"));
	g_assert_null(strstr(member, "usermod"));
	g_assert_null(strstr(member, "log in again"));
	g_assert_null(errors_describe_membership(ERRORS_NO_GROUP, "carol"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/errors/exit-codes", test_exit_codes);
	g_test_add_func("/client/errors/hints", test_hints);
	g_test_add_func("/client/errors/membership", test_membership);
	return g_test_run();
}
