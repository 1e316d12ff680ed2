/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plays ublkd for tests of the real ublk-client: this process, on a bus of its own. It is for
 * what the real ublkd cannot be made to do on demand (fail in a given way, be absent), and for
 * `serve`, whose server is a script here; with ublkd and the kernel the client is tested in the VM.
 *
 * The skeletons are generated from the interface's XML, so a call with another signature fails
 * here.
 */
#pragma once

#include <gio/gio.h>

#include "ublk-bus.h"
#include "ublk-dbus.h"

extern struct mock {
	GTestDBus *bus;
	GDBusConnection *connection;
	GDBusObjectManagerServer *objects;
	guint name;
	/* What was called: "Method options", one line each. */
	GString *calls;
	/* When set, what the next call is answered with. */
	const char *error;
	/* Answers to GetManagedObjects, counted by GDBus's thread. */
	int lists;
	/* AddDevice, Start and Delete are not answered. */
	gboolean silent;
	/* Nor, as GDBus's thread sees to, what properties there are. */
	gboolean mute;
	int ignored;
	/* The file that AddDevice is given is not what the server finds. */
	gboolean exchanged;
	/* The one that it has locked, or -1. */
	int file;
	/* It goes while it answers GetLimits. */
	gboolean leaves;
	/* How many calls said which device they meant, and not just its number. */
	guint meant;
	/* What GetBackingFile tells of one's own. */
	const char *backing;
	/* Of the server that Start was told about. */
	int server_pidfd;
	pid_t report_pid;
	char *report;
} mock;

/*
 * With devices 0, "work", of this user, and 3, "hers", of the next one; and until it is down. Other
 * devices are like the first one.
 */
void mock_up(void);
void mock_down(void);
void mock_add_device(guint32 id, const char *name, guint32 uid);
/* A new reference. */
UblkBusDevice *mock_get_device(guint32 id);
void mock_set_state(guint32 id, const char *state);
void mock_set_server_error(guint32 id, const char *text);
void mock_set_ending(guint32 id, const char *ending);
void mock_remove_device(guint32 id);
/* ublkd comes back, after g_bus_unown_name(mock.name). */
void mock_take_name(void);
/* So many clients have the list, and hear of whatever happens from now on. */
void mock_wait_for_watchers(int n);
/* By its pidfd, never by a number: a pid of -1 would be every process of the machine. */
void mock_signal_server(int signal);

/* What a client has printed, and its exit status, or minus the signal that ended it. */
struct client_result {
	char *out, *err;
	int status;
};
void client_free_result(struct client_result *result);
#define auto_client_result __attribute__((cleanup(client_free_result))) struct client_result

/* ublk-client with the arguments of @line, split as a shell does. */
GSubprocess *client_start(const char *line);
struct client_result client_end(GSubprocess *client);
struct client_result client_run(const char *line);

/* A line of what it prints, no byte of the next; NULL: it has ended. ublkd goes on meanwhile. */
char *client_read_any_line(GSubprocess *client);
void client_read_line(GSubprocess *client, const char *expected);

/* A test's main(): @add_tests adds them. */
int mock_main(int argc, char **argv, void (*add_tests)(void));
