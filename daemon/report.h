/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The report of a server that has just started: one datagram on a SOCK_SEQPACKET socket, lines of
 * text (docs/server.md). The server runs as the user, or is the user's own: whatever it sends is
 * checked, bounded, and never waited for in the main loop.
 */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

#include "kernel/ublk-params.h"

/*
 * `limits` (borrowed) is what the device is to be, pid the sender as the kernel tells it (0:
 * unknown). `channel` is -1, or the socket, the callee's from now on: the server says that it takes
 * shared memory there (channel.h). When `error` (borrowed) is set, the server failed; its own words
 * are in it.
 */
typedef void (*ReportDone)(const struct ublk_limits *limits, pid_t pid, int channel,
			   const GError *error, gpointer user_data);

/*
 * Wait for the report on `fd`, a socket (the callee's from now on, closed when done, or handed
 * on). The sender
 * must be a process of user `uid`. `done` is called exactly once, from the main loop: TimedOut
 * after timeout_ms, InvalidState if the server ended without a report.
 */
void report_wait(int fd, uid_t uid, guint timeout_ms, GCancellable *cancellable, ReportDone done,
		 gpointer user_data);

/*
 * A socket pair for a report: *ours is for report_wait(), *theirs for the server. FALSE with
 * `error`.
 */
gboolean report_open(int *ours, int *theirs, GError **error);

/*
 * Tell a server that was started with --receive-file what its backing file is, before it asks: the
 * path, or a descriptor (stays the caller's). Never blocks.
 */
gboolean report_send_file(int ours, const char *path, int fd, GError **error);
