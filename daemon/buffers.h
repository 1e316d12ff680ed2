/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shared memory of a device: RegisterBuffer and UnregisterBuffer. docs/shared-memory.md tells
 * what it is for and why it goes in this order.
 */
#pragma once

#include "request.h"

/* For methods.c: the two methods. */
gboolean buffers_check(Request *request, GError **error);
void buffers_register(Request *request);
void buffers_unregister(Request *request);

/*
 * Whether a command may be waiting in the kernel with the device's mutex held. Whoever lets a user
 * issue others that want the mutex, as often as the user likes, has to refuse them meanwhile: each
 * would occupy one of the workers that everybody's commands need.
 */
gboolean buffers_is_busy(const Device *device);

/* The device's server is running and takes memory on `fd`, a socket (taken). */
void buffers_set_channel(Device *device, int fd);

/* For the state file: one line that buffers_restore() understands, or NULL. To be freed. */
char *buffers_describe(const Device *device);
/* The device has been taken over; what `text` names is in the kernel still. NULL: nothing. */
void buffers_restore(Device *device, const char *text);

/* How many bytes the device has registered, and (may be NULL) in how many buffers. */
guint64 buffers_get_size(const Device *device, guint *count);

/* The device is gone: nobody's leaving matters any more. */
void buffers_forget(Device *device);
/* NULL is allowed. */
void buffers_free(Buffers *buffers);
