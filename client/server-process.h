/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ublk-server that `serve` runs as its child.
 */
#pragma once

#include <gio/gio.h>

typedef struct server_process {
	GPid pid;
	int pidfd;
	/* Whether wait_status is known: the child is gone. */
	gboolean ended;
	int wait_status;
} ServerProcess;

/* The descriptors' numbers in the child. */
#define SERVER_PROCESS_CHAR_FD   3
#define SERVER_PROCESS_REPORT_FD 4

/* Instead of the installed ublk-server; for tests. */
#define SERVER_PROCESS_ENVIRONMENT "UBLK_SERVER"

/* Start it. @argv ends with NULL; its first element is set here. Both descriptors stay the
 * caller's. */
ServerProcess *server_process_start(GPtrArray *argv, int char_fd, int report_fd, GError **error);

/*
 * Its device has gone, so it ends; should it not know of that, it is asked to after a while. It is
 * not killed: it may have to make durable what it has, which takes as long as it takes.
 */
void server_process_wait(ServerProcess *process, guint patience_ms);

/* Have it gone when this returns: wait a while, then ask, then kill. */
void server_process_end(ServerProcess *process, guint patience_ms);

/* Kills it if it still runs. */
void server_process_free(ServerProcess *process);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ServerProcess, server_process_free)
