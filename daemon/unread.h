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

/* Whether the caller can be sent one more; FALSE with Busy. */
gboolean unread_check(const Caller *caller, GError **error);

/* One was sent to it, just now. */
void unread_note(const Caller *caller);
