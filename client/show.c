/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "show.h"

#include <stdio.h>

#include "errors.h"
#include "output.h"

void show_devices(Bus *bus, GPtrArray *devices)
{
	g_autoptr(GPtrArray) backing_files = g_ptr_array_new_with_free_func(g_free);
	/* Just to show a path, nobody is asked for a password. */
	Bus looking = *bus;

	looking.ask_password = FALSE;
	/* A failure is no reason not to show the rest. */
	for (guint i = 0; i < devices->len; i++)
		g_ptr_array_add(backing_files,
				device_get_backing_file(&looking, devices->pdata[i], NULL));
	output_print_json(stdout, devices, backing_files);
}

gboolean show_device(Bus *bus, const char *path, gboolean json, GError **error)
{
	g_autofree char *node = device_get_node(path);
	g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
	g_autoptr(GError) cause = NULL;
	Device *device;

	if (!json) {
		printf("%s\n", node);
		return TRUE;
	}
	device = device_get(bus, path, &cause);
	if (!device) {
		int code = errors_get_exit_code(cause);

		g_dbus_error_strip_remote_error(cause);
		g_set_error(error, CLIENT_ERROR, code, "ublkd does not say what became of %s: %s",
			    node, cause->message);
		return FALSE;
	}
	g_ptr_array_add(devices, device);
	show_devices(bus, devices);
	return TRUE;
}
