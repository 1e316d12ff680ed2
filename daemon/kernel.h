/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control ring in the main loop: no function here waits for the kernel. */
#pragma once

#include <gio/gio.h>

#include "kernel/ublk-control.h"

/*
 * The one ring of this process. It is opened when first asked for, since the driver may be loaded
 * later than this service is started; NULL with `error` while that does not work.
 */
struct ublk_control *kernel_get(GError **error);

/* Close the ring; commands under way are cancelled, their callbacks do not come. */
void kernel_close(void);

/*
 * Submit a command. On TRUE `done` is called once from the main loop; when `cancellable` (may be
 * NULL) is cancelled the command is given up, and done comes with -ECANCELED or its result.
 */
gboolean kernel_command(const struct ublk_control_cmd *cmd, GCancellable *cancellable,
			ublk_control_done done, gpointer user_data, GError **error);

/* The driver's features on this kernel (UBLK_F_*), 0 while there is no driver. */
guint64 kernel_get_features(void);
