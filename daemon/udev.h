/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * udev's word on the driver's nodes. The kernel makes them root's; the project's rule gives them to
 * the device's owner a moment later. Nobody may be told that a node is there before that.
 */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

#include "kernel/ublk-node.h"

/* Start listening. Without a udev that runs the waits below end with TimedOut. */
void udev_open(void);
void udev_close(void);

/*
 * Whether the kernel told udev that this user is the device's owner. Of the number's last device,
 * as long as udev has not seen the present one.
 */
gboolean udev_knows_owner(enum ublk_node kind, guint32 dev_id, uid_t uid);

/*
 * To be called before the command that makes the kernel make a node, so that its removal is waited
 * for even when it comes before udev has told of its arrival; and to take that back when the
 * command failed.
 */
void udev_expect(enum ublk_node kind, guint32 dev_id);
void udev_forget(enum ublk_node kind, guint32 dev_id);

typedef void (*UdevDone)(const GError *error, gpointer user_data);

/*
 * Wait until udev has processed the node and given it to uid:gid. The node itself is looked at, not
 * only what udev says: a message about an earlier device of the same number proves nothing.
 * Its group and mode are not: they are the owner's to change from the first moment. `done` is
 * called exactly once, from the main loop: TimedOut after timeout_ms.
 */
void udev_wait_ready(enum ublk_node kind, guint32 dev_id, uid_t uid, gid_t gid, guint timeout_ms,
		     GCancellable *cancellable, UdevDone done, gpointer user_data);

/*
 * Wait until udev has processed a node that an earlier ublkd has seen. Whose it is now proves
 * nothing: it may have been taken from its owner (seize.h), or be another device's. The kernel must
 * be asked.
 */
void udev_wait_known(enum ublk_node kind, guint32 dev_id, guint timeout_ms,
		     GCancellable *cancellable, UdevDone done, gpointer user_data);

/*
 * Wait until udev has processed the node's removal, so that what it does about this device cannot
 * hit the next one of the same number. When there is no such node and none was expected, done comes
 * at once.
 */
void udev_wait_gone(enum ublk_node kind, guint32 dev_id, guint timeout_ms, UdevDone done,
		    gpointer user_data);

/* Called whenever udev has processed the removal of a node. One listener. */
typedef void (*UdevRemoved)(enum ublk_node kind, guint32 dev_id);
void udev_set_removed(UdevRemoved removed);
