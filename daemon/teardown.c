/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "teardown.h"

#include <errno.h>

#include "daemon.h"
#include "error.h"
#include "kernel.h"
#include "kernel/ublk-node.h"
#include "udev.h"
#include "units.h"

/* systemd's own limit for a server (units.c), and some. */
#define UNIT_MS 20000

typedef struct {
	TeardownDone done;
	gpointer user_data;
} Waiter;

struct Teardown {
	Device *device;
	const char *reason;
	GArray *waiters;
	gboolean running;     /* FALSE: waits for the device's job to end */
	guint branches;       /* under way at once: the device's, the unit's */
	gboolean unit_ending; /* the unit's branch has begun */
	gboolean as_self;     /* commands with ublkd's own credentials */
	GError *error;        /* why the device could not be deleted */
	guint patience;       /* source: how long the waiters wait for DEL_DEV */
};

static void tell_waiters(Teardown *teardown, const GError *error)
{
	g_autoptr(GArray) waiters = teardown->waiters;

	teardown->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	for (guint i = 0; i < waiters->len; i++) {
		Waiter *waiter = &g_array_index(waiters, Waiter, i);

		waiter->done(error, waiter->user_data);
	}
}

/* `error` is taken; NULL: the device is gone. */
static void teardown_end(Teardown *teardown, GError *error)
{
	Device *device = teardown->device;

	g_clear_handle_id(&teardown->patience, g_source_remove);
	if (error) {
		g_warning("device %u (\"%s\") cannot be taken away: %s", device->id, device->name,
			  error->message);
		device_set_state(device, UBLK_STATE_DEAD);
	} else {
		device_forget(device);
	}
	device->teardown = NULL;
	tell_waiters(teardown, error);
	g_array_unref(teardown->waiters);
	g_clear_error(&error);
	g_free(teardown);
	device_unref(device);
}

static gboolean command(Device *device, guint32 op, unsigned int personality, guint timeout_ms,
			ublk_control_done done, gpointer user_data, GError **error)
{
	struct ublk_control_cmd cmd = {
		.op = op,
		.dev_id = device->id,
		.queue_id = UBLK_QUEUE_NONE,
		.personality = personality,
		.timeout_ms = timeout_ms,
	};

	return kernel_command(&cmd, NULL, done, user_data, error);
}

/* One of the branches is done; when both are, the device is gone. */
static void branch_end(Teardown *teardown)
{
	if (--teardown->branches == 0)
		teardown_end(teardown, teardown->error);
}

static void on_block_gone(const GError *error, gpointer user_data)
{
	if (error)
		g_warning("%s", error->message);
	branch_end(user_data);
}

static void on_char_gone(const GError *error, gpointer user_data)
{
	Teardown *teardown = user_data;

	if (error)
		g_warning("%s", error->message);
	udev_wait_gone(UBLK_NODE_BLOCK, teardown->device->id, settings()->udev_ms, on_block_gone,
		       teardown);
}

static void verify_as_self(Teardown *teardown);

static void on_deleted(int res, const void *buf, size_t len, void *user_data)
{
	Teardown *teardown = user_data;

	g_clear_handle_id(&teardown->patience, g_source_remove);
	if (res == -EACCES && !teardown->as_self) {
		verify_as_self(teardown);
		return;
	}
	/*
	 * -ENOENT: no node to judge by, somebody else deleted it; -ENODEV: nor a device. -EINTR: ublkd
	 * itself was stopped and went on: deleted, but the number may be taken for a while, which the
	 * next ADD_DEV finds out.
	 */
	if (res < 0 && res != -ENODEV && res != -ENOENT && res != -EINTR) {
		teardown->error = error_from_kernel(res, "delete the device");
		branch_end(teardown);
		return;
	}
	udev_wait_gone(UBLK_NODE_CHAR, teardown->device->id, settings()->udev_ms, on_char_gone,
		       teardown);
}

static void tell_busy(Teardown *teardown, const char *what)
{
	Device *device = teardown->device;
	g_autofree char *who = device->server_pid
				       ? g_strdup_printf("process %d", device->server_pid)
				       : g_strdup("a process");
	g_autoptr(GError) error = g_error_new(
		UBLK_ERROR, UBLK_ERROR_BUSY,
		"%s %s /dev/ublkc%u; the device goes as soon as that ends", who, what, device->id);

	tell_waiters(teardown, error);
}

/*
 * DEL_DEV waits for the last one that holds /dev/ublkcN, and cannot be asked a second time: its
 * first act takes away the node by which the second would be judged. So it gets no deadline; those
 * who wait for it do. The device keeps its place in its owner's limits meanwhile: the kernel has it
 * still.
 */
static gboolean on_delete_late(gpointer user_data)
{
	Teardown *teardown = user_data;

	teardown->patience = 0;
	device_set_state(teardown->device, UBLK_STATE_DEAD);
	tell_busy(teardown, "still holds");
	return G_SOURCE_REMOVE;
}

static void delete_device(Teardown *teardown)
{
	Device *device = teardown->device;
	unsigned int personality = teardown->as_self ? 0 : creds_get_personality(device->creds);

	if (!command(device, UBLK_U_CMD_DEL_DEV, personality, UBLK_NO_TIMEOUT, on_deleted, teardown,
		     &teardown->error)) {
		branch_end(teardown);
		return;
	}
	teardown->patience = g_timeout_add(settings()->stop_ms, on_delete_late, teardown);
}

static void on_verified(int res, const void *buf, size_t len, void *user_data)
{
	Teardown *teardown = user_data;

	if (res >= 0 && len >= sizeof(struct ublksrv_ctrl_dev_info) &&
	    device_matches(teardown->device, buf)) {
		delete_device(teardown);
		return;
	}
	teardown->error = error_from_kernel(res < 0 ? res : -EACCES, "delete the device");
	branch_end(teardown);
}

/*
 * The owner has no right to the node: udev has not given it to them (it is stopped, or late). Then
 * it is root's still, and ublkd may act as itself, once it has made sure that the number is this
 * device's.
 */
static void verify_as_self(Teardown *teardown)
{
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_DEV_INFO2,
		.dev_id = teardown->device->id,
		.queue_id = UBLK_QUEUE_NONE,
		.buf = &info,
		.len = sizeof(info),
		.timeout_ms = settings()->stop_ms,
	};

	teardown->as_self = TRUE;
	if (!kernel_command(&cmd, NULL, on_verified, teardown, &teardown->error))
		branch_end(teardown);
}

static void on_unit_stopped(const GError *error, gpointer user_data)
{
	if (error)
		g_warning("%s", error->message);
	branch_end(user_data);
}

/* A branch of its own: DEL_DEV waits for the server, and the unit's name is free only after it. */
static void end_unit(Teardown *teardown)
{
	if (!teardown->device->unit || teardown->unit_ending)
		return;
	teardown->unit_ending = TRUE;
	teardown->branches++;
	units_stop(teardown->device->unit, UNIT_MS, on_unit_stopped, teardown);
}

static void on_io_stopped(int res, const void *buf, size_t len, void *user_data)
{
	Teardown *teardown = user_data;

	g_clear_handle_id(&teardown->patience, g_source_remove);
	if (res < 0 && res != -ENODEV && res != -ENOENT)
		g_message("device %u: the kernel did not stop its I/O: %s", teardown->device->id,
			  g_strerror(-res));
	end_unit(teardown);
	delete_device(teardown);
}

/* The server does not end the requests that it has. */
static gboolean on_stop_late(gpointer user_data)
{
	Teardown *teardown = user_data;

	if (teardown->device->unit && !teardown->unit_ending) {
		/* systemd tells it to leave, and kills it if it does not */
		end_unit(teardown);
		teardown->patience = g_timeout_add(UNIT_MS, on_stop_late, teardown);
	} else {
		/* somebody's own: the kernel kills it when its oldest request is 30 seconds old */
		teardown->patience = 0;
		tell_busy(teardown, "does not end the requests that it has from");
	}
	return G_SOURCE_REMOVE;
}

/*
 * First STOP_DEV, also when the server seems to have ended. It writes back what the block device
 * caches, through the server; and it waits for the requests under way without keeping anybody else.
 * DEL_DEV would wait for them with the driver's one lock held, under which every user's ADD_DEV and
 * DEL_DEV has to pass: a user whose server is stopped could hold up all others. So no DEL_DEV
 * before STOP_DEV has really come back, however long that takes.
 */
static void on_creds(Creds *creds, const GError *error, gpointer user_data)
{
	Teardown *teardown = user_data;
	Device *device = teardown->device;
	GError *local = NULL;

	if (error) {
		teardown_end(teardown, g_error_copy(error));
		return;
	}
	g_clear_pointer(&device->creds, creds_unref);
	device->creds = creds;
	teardown->branches = 1;
	if (!command(device, UBLK_U_CMD_STOP_DEV, creds_get_personality(creds), UBLK_NO_TIMEOUT,
		     on_io_stopped, teardown, &local)) {
		teardown_end(teardown, local);
		return;
	}
	teardown->patience = g_timeout_add(settings()->stop_ms, on_stop_late, teardown);
}

static gboolean on_never_added(gpointer user_data)
{
	teardown_end(user_data, NULL);
	return G_SOURCE_REMOVE;
}

static void run(Teardown *teardown)
{
	Device *device = teardown->device;

	teardown->running = TRUE;
	g_message("device %u (\"%s\") of user %u goes: %s", device->id, device->name, device->uid,
		  teardown->reason);
	if (!device->added) {
		g_idle_add(on_never_added, teardown);
		return;
	}
	device_unbind_sender(device);
	device_set_state(device, UBLK_STATE_STOPPING);
	if (device->creds)
		on_creds(creds_ref(device->creds), NULL, teardown);
	else
		creds_acquire(device->uid, device->gid, NULL, 0, on_creds, teardown);
}

void teardown_begin(Device *device, const char *reason, TeardownDone done, gpointer user_data)
{
	Teardown *teardown = device->teardown;
	Waiter waiter = { done, user_data };

	if (!teardown) {
		teardown = g_new0(Teardown, 1);
		teardown->device = device_ref(device);
		teardown->reason = reason;
		teardown->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
		device->teardown = teardown;
	}
	if (done)
		g_array_append_val(teardown->waiters, waiter);
	if (teardown->running)
		return;
	if (device->job)
		job_cancel(device->job, g_error_new(UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
						    "the device was taken away meanwhile: %s",
						    teardown->reason));
	else
		run(teardown);
}

void teardown_job_ended(Device *device)
{
	if (device->teardown && !device->teardown->running)
		run(device->teardown);
}

typedef struct {
	TeardownDone done;
	gpointer user_data;
} Stop;

static void on_stopped(int res, const void *buf, size_t len, void *user_data)
{
	g_autofree Stop *stop = user_data;
	g_autoptr(GError) error = NULL;

	if (res < 0)
		error = error_from_kernel(res, "stop the device");
	stop->done(error, stop->user_data);
}

void teardown_stop(Device *device, TeardownDone done, gpointer user_data)
{
	g_autoptr(GError) error = NULL;
	Stop *stop = g_new(Stop, 1);

	stop->done = done;
	stop->user_data = user_data;
	device_set_state(device, UBLK_STATE_STOPPING);
	if (!command(device, UBLK_U_CMD_STOP_DEV, creds_get_personality(device->creds),
		     settings()->stop_ms, on_stopped, stop, &error)) {
		done(error, user_data);
		g_free(stop);
	}
}
