/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"

#include <signal.h>
#include <string.h>

#include "deadline.h"
#include "errors.h"
#include "password-agent.h"

/* Some containers have /run but no link from /var/run to it, where GLib looks. */
#define OTHER_BUS_SOCKET "/run/dbus/system_bus_socket"

/* For connecting, in seconds; as long as GDBus's own for the first call. */
#define CONNECT_TIMEOUT 25

static char *get_address(GError **error)
{
	if (!g_getenv("DBUS_SYSTEM_BUS_ADDRESS") &&
	    !g_file_test("/var/run/dbus/system_bus_socket", G_FILE_TEST_EXISTS) &&
	    g_file_test(OTHER_BUS_SOCKET, G_FILE_TEST_EXISTS))
		return g_strdup("unix:path=" OTHER_BUS_SOCKET);
	return g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, error);
}

static void run_connect(GTask *task, gpointer source, gpointer address, GCancellable *cancellable)
{
	GError *error = NULL;
	/*
	 * Cross-namespace: let the bus ask the kernel who we are, since our own uid may be mapped.
	 * Not by g_dbus_connection_new_for_address_sync(): up to GLib 2.74.6 it takes the flag for
	 * a mistake.
	 */
	gpointer connection = g_initable_new(
		G_TYPE_DBUS_CONNECTION, cancellable, &error, "address", address, "flags",
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
			G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION |
			G_DBUS_CONNECTION_FLAGS_CROSS_NAMESPACE,
		NULL);

	if (connection)
		g_task_return_pointer(task, connection, g_object_unref);
	else
		g_task_return_error(task, error);
}

static gboolean on_late(gpointer cancellable)
{
	g_cancellable_cancel(cancellable);
	return G_SOURCE_CONTINUE;
}

/*
 * In a thread, which is left behind if it takes too long: GDBus has no time limit for the
 * authentication, and nothing that cancels its first call.
 */
static GDBusConnection *connect_to(const char *address, GError **error)
{
	g_autoptr(GCancellable) cancellable = g_cancellable_new();
	g_autoptr(GTask) task = g_task_new(NULL, cancellable, NULL, NULL);
	guint late =
		g_timeout_add(deadline_get_left_ms(CONNECT_TIMEOUT * 1000), on_late, cancellable);
	sigset_t all, before;

	g_task_set_task_data(task, g_strdup(address), g_free);
	g_task_set_return_on_cancel(task, TRUE);
	/* Signals are the first thread's: this one and those that it makes inherit that. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	g_task_run_in_thread(task, run_connect);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	while (!g_task_get_completed(task))
		g_main_context_iteration(NULL, TRUE);
	g_source_remove(late);
	return g_task_propagate_pointer(task, error);
}

static void explain_no_bus(const char *address, GError *cause, GError **error)
{
	const char *seconds = deadline_get_text();

	g_dbus_error_strip_remote_error(cause);
	if (g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_TIMEOUT,
			    "the system bus at %s has not answered within %s s%s", address,
			    seconds ? seconds : G_STRINGIFY(CONNECT_TIMEOUT),
			    seconds ? " (--timeout)" : "");
	else
		g_set_error(error, CLIENT_ERROR,
			    g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)
				    ? EXIT_CODE_TIMEOUT
				    : EXIT_CODE_FAILURE,
			    "cannot reach the system bus at %s: %s; in a container, mount the "
			    "host's " OTHER_BUS_SOCKET,
			    address, cause->message);
}

Bus *bus_connect(gboolean ask_password, GError **error)
{
	g_autofree char *address = get_address(error);
	g_autoptr(GDBusConnection) connection = NULL;
	g_autoptr(GError) cause = NULL;
	Bus *bus;

	if (!address)
		return NULL;
	connection = connect_to(address, &cause);
	if (!connection) {
		explain_no_bus(address, cause, error);
		return NULL;
	}

	bus = g_new0(Bus, 1);
	bus->connection = g_steal_pointer(&connection);
	bus->ask_password = ask_password;
	return bus;
}

void bus_free(Bus *bus)
{
	g_clear_object(&bus->connection);
	g_free(bus);
}

gboolean bus_get_uid(Bus *bus, guint32 *uid, GError **error)
{
	g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
		bus->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
		"org.freedesktop.DBus", "GetConnectionUnixUser",
		g_variant_new("(s)", g_dbus_connection_get_unique_name(bus->connection)),
		G_VARIANT_TYPE("(u)"), G_DBUS_CALL_FLAGS_NONE,
		deadline_get_left_ms(BUS_CALL_TIMEOUT_MS), NULL, error);

	if (!reply)
		return FALSE;
	g_variant_get(reply, "(u)", uid);
	return TRUE;
}

/* Our own timeout, not one of ublkd's, which says what took so long. */
static void explain_timeout(GError *cause)
{
	const char *seconds = deadline_get_text();

	if (!seconds || !g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
		return;
	g_free(cause->message);
	cause->message = g_strdup_printf("ublkd has not answered within %s s (--timeout); it may "
					 "still do what it was asked to",
					 seconds);
}

/* @ask: polkit may ask for a password, and there is no time limit then: a person may be typing. */
static GVariant *call_once(Bus *bus, gboolean ask, const char *path, const char *interface,
			   const char *method, GVariant *parameters, const char *reply_type,
			   GUnixFDList *fds, GUnixFDList **reply_fds, GError **cause)
{
	/* What was given up shall not happen all the same, later. */
	if (!deadline_check(cause))
		return NULL;
	return g_dbus_connection_call_with_unix_fd_list_sync(
		bus->connection, UBLK_BUS_NAME, path, interface, method, parameters,
		G_VARIANT_TYPE(reply_type),
		(ask ? G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION : 0) |
			(bus->no_start ? G_DBUS_CALL_FLAGS_NO_AUTO_START : 0),
		deadline_get_left_ms(ask ? G_MAXINT : BUS_CALL_TIMEOUT_MS), fds, reply_fds, NULL,
		cause);
}

/* Whether a password would have made a difference. */
static gboolean is_for_want_of_asking(const GError *cause)
{
	return cause && strstr(cause->message, UBLK_BUS_TEXT_MAY_NOT_ASK);
}

GVariant *bus_call(Bus *bus, const char *path, const char *interface, const char *method,
		   GVariant *parameters, const char *reply_type, GUnixFDList *fds,
		   GUnixFDList **reply_fds, GError **error)
{
	/* Only who needs a password waits for an agent to start. */
	gboolean later = bus->ask_password && password_agent_is_wanted();
	g_autoptr(GVariant) kept = parameters ? g_variant_ref_sink(parameters) : NULL;
	GError *cause = NULL;
	GVariant *reply = call_once(bus, bus->ask_password && !later, path, interface, method, kept,
				    reply_type, fds, reply_fds, &cause);

	if (later && is_for_want_of_asking(cause)) {
		g_autoptr(PasswordAgent) agent = password_agent_start();

		g_clear_error(&cause);
		reply = call_once(bus, TRUE, path, interface, method, kept, reply_type, fds,
				  reply_fds, &cause);
	}
	if (cause) {
		explain_timeout(cause);
		g_propagate_error(error, cause);
	}
	return reply;
}

gboolean bus_call_device(Bus *bus, const char *path, const char *method, GVariant *parameters,
			 GUnixFDList *fds, GError **error)
{
	g_autoptr(GVariant) reply = bus_call(bus, path, UBLK_BUS_DEVICE_INTERFACE, method,
					     parameters, "()", fds, NULL, error);

	return reply != NULL;
}

int bus_get_descriptor(GUnixFDList *fds, gint32 index, GError **error)
{
	if (fds && index >= 0 && index < g_unix_fd_list_get_length(fds))
		return g_unix_fd_list_get(fds, index, error);
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
		    "ublkd's answer makes no sense: there is no descriptor in it");
	return -1;
}

GVariant *bus_no_options(void)
{
	return g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0);
}
