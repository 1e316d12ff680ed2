/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of messages from the bus to the main loop, and what does not get in. */
#pragma once

#include <gio/gio.h>

/*
 * Somebody calls who is not known: whoever that is shall be told to turns_introduce(), and when it
 * leaves to turns_forget(). From the main loop, and again with later calls until it is.
 */
typedef void (*InboxMeet)(const char *sender);

/* The system bus, behind the inbox; NULL with `error`. To be called first of all, and once. */
GDBusConnection *inbox_open(InboxMeet meet, GError **error);

/* What was sent on the connection is on its way when this returns; nothing can be sent after. */
void inbox_close(GDBusConnection *connection);
