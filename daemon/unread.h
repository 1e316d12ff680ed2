/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers with a descriptor that their callers have not read yet. The bus holds them for a caller
 * that does not read, and takes nothing more from whoever has sent too many of them (64
 * descriptors: max_incoming_unix_fds of dbus-daemon): one such caller could make ublkd mute for
 * everybody. So who gets one is asked for a sign of life after it (Peer.Ping, which every D-Bus
 * library answers by itself), and who owes too many gets no more.
 */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

#include "caller.h"

/*
 * A place for one more answer to that caller, before anything is done for it; FALSE with Busy. It
 * ends in unread_release(), if there is no such answer, or in unread_note() when it is sent.
 */
gboolean unread_reserve(const Caller *caller, GError **error);
void unread_release(const Caller *caller);
void unread_note(const Caller *caller, GDBusConnection *connection);

/* That connection has left the bus, and what it has not read with it. */
void unread_forget(const char *sender);
