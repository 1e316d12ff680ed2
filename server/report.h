/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the server tells the one who started it, in one message on the report descriptor: that all
 * queues have fetched, with the limits that SET_PARAMS needs, or what went wrong. docs/server.md is
 * the protocol. Beside it, systemd's notification protocol, spoken by hand.
 */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <sys/socket.h>

#include "error.h"
#include "kernel/ublk-params.h"

/* The longest message in bytes. */
#define REPORT_MAX 4096

/* Write the message into `text` and return its length; it never ends in half a line. */
size_t report_format_ready(const struct ublk_limits *limits, char text[REPORT_MAX]);
size_t report_format_error(const struct server_error *error, char text[REPORT_MAX]);

/*
 * Send one message on `fd`, a SOCK_SEQPACKET socket or a pipe; fd -1 is allowed and does nothing.
 * Returns 0 or negative errno (-EPIPE: nobody listens any more).
 */
int report_send(int fd, const char *text, size_t len);

/* As many descriptors can come with a message that has room for one: alignment makes more. */
#define REPORT_MAX_FILES (CMSG_SPACE(sizeof(int)) / sizeof(int))

/* The descriptors that came with a received message, how many: all are the caller's. */
size_t report_get_files(struct msghdr *msg, int files[REPORT_MAX_FILES]);

/*
 * Receive the backing file, which the next message on the socket `fd` tells: the one descriptor
 * that it carries, or without one its text, an absolute path (which so does not stand on the
 * command line for everybody to read). Waits for it for some seconds. Returns 0 with *file
 * (CLOEXEC, the caller's) or, when *file is -1, with the path; or negative errno with the reason in
 * *error.
 */
int report_receive_file(int fd, int *file, char path[PATH_MAX], struct server_error *error);

/*
 * Connect to $NOTIFY_SOCKET for good, while it can be reached: the server is going to confine
 * itself.
 */
void report_notify_open(void);

/*
 * Something has gone wrong while the device is served: into the log, and to $NOTIFY_SOCKET if
 * report_notify_open() has found one, so that ublkd can tell the device's user. One line; err is an
 * errno, with either sign. Never waits; any thread may call it.
 */
__attribute__((format(printf, 2, 3))) void report_trouble(int err, const char *format, ...);

/* Tell $NOTIFY_SOCKET, if there is one: lines such as "READY=1\nSTATUS=…". */
__attribute__((format(printf, 1, 2))) void report_notify(const char *format, ...);
