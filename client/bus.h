/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection to ublkd: the system bus, also from inside a container whose user namespace is not
 * the bus's.
 */
#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "ublk-dbus.h"

/*
 * For calls that no person has to answer. ublkd has shorter deadlines of its own for whatever the
 * kernel or systemd may take: this is for an ublkd that hangs.
 */
#define BUS_CALL_TIMEOUT_MS (120 * 1000)

typedef struct bus {
	GDBusConnection *connection;
	/* Whether polkit may ask for a password. */
	gboolean ask_password;
	/* Who only looks does not start ublkd. */
	gboolean no_start;
} Bus;

/* The connection, or NULL. Free with bus_free(). */
Bus *bus_connect(gboolean ask_password, GError **error);
void bus_free(Bus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bus, bus_free)

/* The caller's user id as the bus knows it: the host's, where a container's own would be another.
 */
gboolean bus_get_uid(Bus *bus, guint32 *uid, GError **error);

/*
 * Call a method of ublkd and wait for the answer. @parameters is consumed when floating. Where
 * a password may be asked for, there is no time limit: a person may be typing. After --timeout's
 * time nothing is called.
 * @fds: descriptors that @parameters refer to, or NULL. @reply_fds: where to put those of the
 * reply, or NULL. Returns the reply, of the type @reply_type.
 */
GVariant *bus_call(Bus *bus, const char *path, const char *interface, const char *method,
		   GVariant *parameters, const char *reply_type, GUnixFDList *fds,
		   GUnixFDList **reply_fds, GError **error);

/* A method of org.ublk1.Device that returns nothing, on the device at @path. */
gboolean bus_call_device(Bus *bus, const char *path, const char *method, GVariant *parameters,
			 GUnixFDList *fds, GError **error);

/*
 * The descriptor that @index in a reply refers to: a duplicate, closed on exec, the caller's; -1
 * with
 * @error where there is none.
 */
int bus_get_descriptor(GUnixFDList *fds, gint32 index, GError **error);

/* Dictionary of options without any. */
GVariant *bus_no_options(void);
