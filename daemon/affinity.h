/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which processors a queue serves: for its server, which may not ask the kernel itself. */
#pragma once

#include "device.h"

typedef void (*AffinityDone)(gpointer user_data);

/*
 * Ask the kernel for each of the device's queues and set its QueueCpus. It is advice: a queue that
 * the kernel does not tell about has an empty list. `done` is called once, from the main loop, also
 * after `cancellable`.
 */
void affinity_ask(Device *device, GCancellable *cancellable, AffinityDone done, gpointer user_data);

/* "0-1,3" from the bits of `len` bytes; free with g_free(). */
char *affinity_format(const guint8 *bits, gsize len);
