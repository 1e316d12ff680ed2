/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device as ublkd describes it: the properties of one object on the bus.
 */
#pragma once

#include "bus.h"

typedef struct device {
	char *path; /* of the object */
	guint32 id;
	char *name;
	guint32 owner_uid, owner_gid;
	char *state;
	char *ending;       /* why it goes away, empty: it does not */
	char *server_error; /* what its server last said to have gone wrong, empty: nothing */
	char *target;
	guint64 size;                /* bytes */
	guint32 logical_block_size;  /* bytes */
	guint32 physical_block_size; /* bytes */
	guint32 queues, depth;
	guint32 max_io_size; /* bytes */
	char **queue_cpus;
	gboolean read_only;
	guint64 flags;
	char **flag_names;
	gboolean trusted;
	char *char_device, *block_device;
	guint32 server_pid;
	guint64 shared_memory; /* bytes */
	guint64 created_at;    /* microseconds since 1970 */
} Device;

/* From the dictionary of its properties, a{sv}. What ublkd does not tell is 0 or empty. */
Device *device_new(const char *path, GVariant *properties);
/* The same once more, for who keeps it: each is given back by device_free(). */
Device *device_ref(const Device *device);
void device_free(Device *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Device, device_free)

/* All devices, by number: elements are Device *, freed with the array. */
GPtrArray *device_list(Bus *bus, GError **error);
/* The same from GetManagedObjects' reply, (a{oa{sa{sv}}}). */
GPtrArray *device_list_from_reply(GVariant *reply);

/* Devices (elements Device *) by their numbers. */
void device_sort(GPtrArray *devices);

/* The device at an object path. */
Device *device_get(Bus *bus, const char *path, GError **error);

/*
 * The path of its backing file as ublkd was given it, empty where it knows of none (a descriptor,
 * or the owner's own server); NULL with @error where it does not tell: only the owner and
 * administrators may know.
 */
char *device_get_backing_file(Bus *bus, const Device *device, GError **error);

/*
 * Add the option that says that this very device is meant: its number, by which its object is
 * called, may have been given to another one since it was looked at.
 */
void device_add_identity(const Device *device, GVariantBuilder *options);

/*
 * The descriptor that a method answers, a duplicate, closed on exec, the caller's; -1 with @error.
 * Takes what is in @options, and adds the identity.
 */
int device_get_descriptor(Bus *bus, const Device *device, const char *method,
			  GVariantBuilder *options, GError **error);

/* Call a method that has no options of its own, of this device and not of the next with its number.
 */
gboolean device_call(Bus *bus, const Device *device, const char *method, GError **error);

/*
 * Delete this device. TRUE also if it is gone already: somebody else was quicker, or ublkd, when it
 * saw the server leave.
 */
gboolean device_delete(Bus *bus, const Device *device, GError **error);

/* /dev/ublkbN of the object /org/ublk1/devices/N. */
char *device_get_node(const char *path);
