/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon.h"

#include <glib-unix.h>
#include <stdlib.h>

#include "adopt.h"
#include "caller.h"
#include "descriptor.h"
#include "device.h"
#include "inbox.h"
#include "kernel.h"
#include "kernel/ublk-node.h"
#include "manager.h"
#include "methods.h"
#include "reload.h"
#include "teardown.h"
#include "turns.h"
#include "udev.h"
#include "ublk-dbus.h"
#include "units.h"

static struct {
	Settings settings;
	GDBusConnection *bus;
	GDBusObjectManagerServer *objects;
	GMainLoop *loop;
	int status;
} the;

const Settings *settings(void)
{
	return &the.settings;
}

GDBusConnection *bus(void)
{
	return the.bus;
}

static gboolean on_signal(gpointer unused)
{
	g_main_loop_quit(the.loop);
	return G_SOURCE_CONTINUE;
}

static gboolean on_hangup(gpointer unused)
{
	reload_begin(NULL, NULL);
	return G_SOURCE_CONTINUE;
}

static void on_bus_closed(GDBusConnection *connection, gboolean by_peer, GError *error,
			  gpointer unused)
{
	g_warning("the bus has closed the connection; ending, to be started again");
	the.status = EXIT_FAILURE;
	g_main_loop_quit(the.loop);
}

static void on_name_lost(GDBusConnection *connection, const char *name, gpointer unused)
{
	g_warning("cannot be %s on the bus: another process is, or its policy is not installed",
		  name);
	the.status = EXIT_FAILURE;
	g_main_loop_quit(the.loop);
}

/* The block device of a live one has gone: its server ended, or somebody stopped it without us. */
static void on_node_removed(enum ublk_node kind, guint32 dev_id)
{
	Device *device = device_lookup(dev_id);

	if (device && !device->job && !device->teardown &&
	    (kind == UBLK_NODE_CHAR || g_str_equal(device->state, UBLK_STATE_LIVE) ||
	     g_str_equal(device->state, UBLK_STATE_STOPPING)))
		teardown_begin(device, "its node has gone", NULL, NULL);
}

/*
 * Without the driver every call is answered with what is missing. systemd has fixed which nodes
 * this process may open when it started it, so a driver that is loaded later is of use to the next
 * run alone; that comes with the next call.
 */
#define WITHOUT_DRIVER_SECONDS 10

static gboolean on_without_driver(gpointer unused)
{
	g_main_loop_quit(the.loop);
	return G_SOURCE_REMOVE;
}

/* From now on calls are answered. */
static void on_adopted(void)
{
	manager_export(the.objects);
	g_dbus_object_manager_server_set_connection(the.objects, the.bus);
	g_bus_own_name_on_connection(the.bus, UBLK_BUS_NAME, G_BUS_NAME_OWNER_FLAGS_NONE, NULL,
				     on_name_lost, NULL, NULL);
}

int daemon_run(const char *conf_path)
{
	g_autoptr(GError) error = NULL;

	the.loop = g_main_loop_new(NULL, FALSE);
	g_unix_signal_add(SIGTERM, on_signal, NULL);
	g_unix_signal_add(SIGINT, on_signal, NULL);
	g_unix_signal_add(SIGHUP, on_hangup, NULL);
	reload_init(conf_path, &the.settings);
	turns_set_interval(G_USEC_PER_SEC / (gint64)the.settings.calls_per_second);
	the.bus = inbox_open(caller_meet, &error);
	if (!the.bus || !caller_init(the.bus, &error)) {
		g_printerr("ublkd: cannot reach the system bus: %s\n", error->message);
		return EXIT_FAILURE;
	}
	g_dbus_connection_set_exit_on_close(the.bus, FALSE);
	g_signal_connect(the.bus, "closed", G_CALLBACK(on_bus_closed), NULL);

	descriptor_filter_messages(the.bus);
	the.objects = g_dbus_object_manager_server_new(UBLK_BUS_ROOT);
	udev_open();
	udev_set_removed(on_node_removed);
	units_init(the.bus);
	device_init(the.objects, methods_connect);
	if (!kernel_get(&error)) {
		g_warning("%s", error->message);
		g_timeout_add_seconds(WITHOUT_DRIVER_SECONDS, on_without_driver, NULL);
	}
	adopt_all(on_adopted);

	g_main_loop_run(the.loop);

	/* devices and their servers go on; the state that is kept tells the next run of them */
	units_quit();
	udev_close();
	kernel_close();
	g_signal_handlers_disconnect_by_func(the.bus, on_bus_closed, NULL);
	inbox_close(the.bus);
	/* not before: a call that comes now would hear that there is no such object */
	g_clear_object(&the.objects);
	return the.status;
}
