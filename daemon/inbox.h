/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of messages from the bus to the main loop, and what does not get in. */
#pragma once

#include <gio/gio.h>

/*
 * A connection has called for the first time: turns_introduce() shall be told whose it is, and
 * inbox_give() be called then. From the main loop.
 */
typedef void (*InboxMeet)(const char *sender);

/* The system bus, behind the inbox; NULL with `error`. To be called first of all, and once. */
GDBusConnection *inbox_open(InboxMeet meet, GError **error);

/* Somebody may have a turn who had none. From any thread. */
void inbox_give(void);

/* What was sent on the connection is on its way when this returns; nothing can be sent after. */
void inbox_close(GDBusConnection *connection);
