/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device: what the daemon knows of it, its D-Bus object, what it is bound to, and the table of
 * all.
 *
 * A device exists from before ADD_DEV (its number is then reserved) until udev has processed the
 * removal of its nodes (then the number is free). In between exactly one thing acts on it: the job
 * that makes or starts it, or the teardown.
 */
#pragma once

#include <gio/gio.h>

#include "bucket.h"
#include "creds.h"
#include "job.h"
#include "kernel/ublk-control.h"
#include "kernel/ublk-params.h"
#include "ublk-bus.h"
#include "ublk-dbus.h"

typedef struct Buffers Buffers;
typedef struct Teardown Teardown;

typedef struct {
	guint refs;
	guint32 id;
	guint64 cookie; /* random, not 0; in the kernel's ublksrv_flags: tells devices of one number
			   apart */
	uid_t uid;
	gid_t gid;
	char *name;
	gboolean named_by_number; /* its owner gave no name */
	char *target;             /* NULL: its owner runs the server */
	char *backing;            /* path as given, or NULL */
	char *unit;               /* the server's, or NULL */
	char *sender;             /* who made it, until it is live */
	gint64 created_at;
	guint32 queues, depth, max_io_size;
	guint64 flags;
	const char *state;   /* UBLK_STATE_* */
	Creds *creds;        /* the owner's */
	gboolean as_self;    /* the node is root's: commands with ublkd's own credentials */
	gboolean added;      /* the kernel has it */
	gboolean was_live;   /* it is, or was */
	gboolean beyond;     /* was allowed by create-beyond-limits */
	gboolean prompted;   /* somebody typed a password for it */
	Job *job;            /* what makes or starts it, or NULL */
	gboolean stop_asked; /* somebody has asked for its stop: its end will be no accident */
	struct Stop *stop;   /* under way, or NULL: nothing else holds it when the ring is closed */
	Teardown *teardown;  /* what takes it away, or NULL */
	Buffers *buffers;    /* its shared memory (buffers.c), or NULL */
	pid_t server_pid;
	int server_pidfd;
	int report_fd;      /* of a created one: its server will report there (OpenReport); or -1 */
	guint server_watch; /* source: the server's end */
	guint unit_watch;   /* units_watch(): how that was, and what it says before */
	Bucket troubles;    /* what it may still say */
	guint sender_watch; /* name watch: the creator's leaving */
	guint deadline;     /* source: it was not started in time */
	UblkBusDevice *bus;
	UblkBusObjectSkeleton *object;
} Device;

/* Called once, before the first device. `connect` hooks the methods up to a new object. */
void device_init(GDBusObjectManagerServer *objects, void (*connect)(Device *device));

/*
 * A device that does not exist yet, in the table, with a number that nobody else has: the wished
 * one or the lowest free. NULL with Exists if the wished one is taken. `name` NULL: ublkN. The
 * caller gets a reference.
 */
Device *device_new(guint32 wish, uid_t uid, gid_t gid, const char *name, GError **error);

Device *device_ref(Device *device);
void device_unref(Device *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Device, device_unref)

Device *device_lookup(guint32 id);
Device *device_find(uid_t uid, const char *name);
/* All, in no order; the list is the caller's, the devices are borrowed. */
GList *device_list(void);

/* The number was taken in the kernel by somebody else: take the next one. FALSE: there is none. */
gboolean device_renumber(Device *device);

/* Write, or rewrite, its file in STATE_DIR. */
gboolean device_save(Device *device, GError **error);

/* The kernel has it: put its object on the bus. */
void device_publish(Device *device, const struct ublksrv_ctrl_dev_info *info);
void device_set_state(Device *device, const char *state);
/* Why it goes away, for those who have it or follow it. */
void device_set_ending(Device *device, const char *why);
void device_set_params(Device *device, const struct ublk_params *params);
void device_set_size(Device *device, guint64 size);
void device_set_queue_cpus(Device *device, const char *const *cpus);

/*
 * Whether what the kernel says of this number (a struct ublksrv_ctrl_dev_info of `len` bytes) is
 * about this device and not a later one.
 */
gboolean device_matches(const Device *device, const void *info, gsize len);

/* Whose char node the number has now; FALSE: there is none. */
gboolean device_get_node_owner(const Device *device, uid_t *uid);

/*
 * Whether this number's node is another user's by now. An owner cannot give a node away: so what
 * was this device has been deleted, past ublkd. FALSE is no proof of the contrary.
 */
gboolean device_is_anothers(const Device *device);

/*
 * Watch its creator: it is taken away when `sender` (borrowed) has left the bus. Bind it to its
 * creator: also after timeout_ms. unbind takes both back. And to its server: it is taken away when
 * the process has ended.
 */
void device_watch_sender(Device *device, GDBusConnection *bus, const char *sender);
void device_bind_sender(Device *device, GDBusConnection *bus, const char *sender, guint timeout_ms);
void device_unbind_sender(Device *device);
gboolean device_bind_server(Device *device, pid_t pid, GError **error);
/* systemd runs its server as `unit` (taken), or will; how that ends goes to the journal. */
void device_set_unit(Device *device, char *unit);
void device_unbind_server(Device *device);

/* For ublk_control_cmd.personality of commands about it; its credentials must be there. */
unsigned int device_get_personality(const Device *device);

/*
 * A command about it, as its owner, that gets the usual time (timeouts.stop); payload, argument and
 * whatever is to be different are for the caller to fill in.
 */
struct ublk_control_cmd device_make_command(const Device *device, guint32 op);
/* It is gone: off the bus, out of the table, its file removed. Only teardown.c calls this. */
void device_forget(Device *device);
