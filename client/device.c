/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include "errors.h"

#include <string.h>

#define PROPERTIES     "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

static char *lookup_text(GVariant *properties, const char *key)
{
	char *text = NULL;

	return g_variant_lookup(properties, key, "s", &text) ? text : g_strdup("");
}

static char **lookup_list(GVariant *properties, const char *key)
{
	char **list = NULL;

	return g_variant_lookup(properties, key, "^as", &list) ? list : g_new0(char *, 1);
}

Device *device_new(const char *path, GVariant *properties)
{
	Device *device = g_rc_box_new0(Device);

	device->path = g_strdup(path);
	device->name = lookup_text(properties, "Name");
	device->state = lookup_text(properties, "State");
	device->ending = lookup_text(properties, "Ending");
	device->server_error = lookup_text(properties, "ServerError");
	device->target = lookup_text(properties, "Target");
	device->char_device = lookup_text(properties, "CharDevice");
	device->block_device = lookup_text(properties, "BlockDevice");
	device->queue_cpus = lookup_list(properties, "QueueCpus");
	device->flag_names = lookup_list(properties, "FlagNames");
	g_variant_lookup(properties, "Id", "u", &device->id);
	g_variant_lookup(properties, "OwnerUid", "u", &device->owner_uid);
	g_variant_lookup(properties, "OwnerGid", "u", &device->owner_gid);
	g_variant_lookup(properties, "Size", "t", &device->size);
	g_variant_lookup(properties, "LogicalBlockSize", "u", &device->logical_block_size);
	g_variant_lookup(properties, "PhysicalBlockSize", "u", &device->physical_block_size);
	g_variant_lookup(properties, "Queues", "u", &device->queues);
	g_variant_lookup(properties, "QueueDepth", "u", &device->depth);
	g_variant_lookup(properties, "MaxIoSize", "u", &device->max_io_size);
	g_variant_lookup(properties, "ReadOnly", "b", &device->read_only);
	g_variant_lookup(properties, "Flags", "t", &device->flags);
	g_variant_lookup(properties, "Trusted", "b", &device->trusted);
	g_variant_lookup(properties, "ServerPid", "u", &device->server_pid);
	g_variant_lookup(properties, "SharedMemory", "t", &device->shared_memory);
	g_variant_lookup(properties, "CreatedAt", "t", &device->created_at);
	return device;
}

Device *device_ref(const Device *device)
{
	return g_rc_box_acquire((gpointer)device);
}

static void clear_device(gpointer data)
{
	Device *device = data;

	g_free(device->path);
	g_free(device->name);
	g_free(device->state);
	g_free(device->ending);
	g_free(device->server_error);
	g_free(device->target);
	g_strfreev(device->queue_cpus);
	g_strfreev(device->flag_names);
	g_free(device->char_device);
	g_free(device->block_device);
}

void device_free(Device *device)
{
	g_rc_box_release_full(device, clear_device);
}

static int compare_devices(gconstpointer a, gconstpointer b)
{
	const Device *one = *(Device *const *)a, *other = *(Device *const *)b;

	return (one->id > other->id) - (one->id < other->id);
}

void device_sort(GPtrArray *devices)
{
	g_ptr_array_sort(devices, compare_devices);
}

GPtrArray *device_list_from_reply(GVariant *reply)
{
	g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
	g_autoptr(GVariantIter) objects = NULL;
	const char *path;
	GVariant *interfaces;

	g_variant_get(reply, "(a{oa{sa{sv}}})", &objects);
	while (g_variant_iter_loop(objects, "{&o@a{sa{sv}}}", &path, &interfaces)) {
		g_autoptr(GVariant) properties = g_variant_lookup_value(
			interfaces, UBLK_BUS_DEVICE_INTERFACE, G_VARIANT_TYPE_VARDICT);

		if (properties)
			g_ptr_array_add(devices, device_new(path, properties));
	}
	device_sort(devices);
	return g_steal_pointer(&devices);
}

/*
 * One call instead of GDBusObjectManagerClient: that one takes an absent ublkd for an empty list,
 * and watches what we only read once.
 */
GPtrArray *device_list(Bus *bus, GError **error)
{
	g_autoptr(GVariant)
		reply = bus_call(bus, UBLK_BUS_ROOT, OBJECT_MANAGER, "GetManagedObjects", NULL,
				 "(a{oa{sa{sv}}})", NULL, NULL, error);

	return reply ? device_list_from_reply(reply) : NULL;
}

Device *device_get(Bus *bus, const char *path, GError **error)
{
	g_autoptr(GVariant) reply = bus_call(bus, path, PROPERTIES, "GetAll",
					     g_variant_new("(s)", UBLK_BUS_DEVICE_INTERFACE),
					     "(a{sv})", NULL, NULL, error);
	g_autoptr(GVariant) properties = NULL;

	if (!reply)
		return NULL;
	properties = g_variant_get_child_value(reply, 0);
	return device_new(path, properties);
}

void device_add_identity(const Device *device, GVariantBuilder *options)
{
	if (device->created_at)
		g_variant_builder_add(options, "{sv}", UBLK_OPT_CREATED_AT,
				      g_variant_new_uint64(device->created_at));
}

gboolean device_call(Bus *bus, const Device *device, const char *method, GError **error)
{
	GVariantBuilder options;

	g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
	device_add_identity(device, &options);
	return bus_call_device(bus, device->path, method, g_variant_new("(a{sv})", &options), NULL,
			       error);
}

gboolean device_delete(Bus *bus, const Device *device, GError **error)
{
	g_autoptr(GError) failure = NULL;

	if (device_call(bus, device, "Delete", &failure) ||
	    errors_get_exit_code(failure) == EXIT_CODE_NOT_FOUND)
		return TRUE;
	g_propagate_error(error, g_steal_pointer(&failure));
	return FALSE;
}

int device_get_descriptor(Bus *bus, const Device *device, const char *method,
			  GVariantBuilder *options, GError **error)
{
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GVariant) reply = NULL;
	gint32 index;

	device_add_identity(device, options);
	reply = bus_call(bus, device->path, UBLK_BUS_DEVICE_INTERFACE, method,
			 g_variant_new("(a{sv})", options), "(h)", NULL, &fds, error);
	if (!reply)
		return -1;
	g_variant_get(reply, "(h)", &index);
	return bus_get_descriptor(fds, index, error);
}

char *device_get_backing_file(Bus *bus, const Device *device, GError **error)
{
	g_autoptr(GVariant) reply =
		bus_call(bus, device->path, UBLK_BUS_DEVICE_INTERFACE, "GetBackingFile",
			 g_variant_new("(@a{sv})", bus_no_options()), "(s)", NULL, NULL, error);
	char *path;

	if (!reply)
		return NULL;
	g_variant_get(reply, "(s)", &path);
	return path;
}

char *device_get_node(const char *path)
{
	const char *number = strrchr(path, '/');

	return g_strconcat("/dev/ublkb", number ? number + 1 : path, NULL);
}
