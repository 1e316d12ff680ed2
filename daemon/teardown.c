/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "teardown.h"

#include <errno.h>
#include <poll.h>

#include "daemon.h"
#include "ended.h"
#include "error.h"
#include "journal.h"
#include "kernel.h"
#include "kernel/ublk-node.h"
#include "seize.h"
#include "udev.h"
#include "units.h"

/* systemd's own limit for a server (units.c), and some. */
#define UNIT_MS 20000

#define STOP_ASKED "its stop was asked for"

typedef struct {
	TeardownDone done;
	gpointer user_data;
} Waiter;

struct Teardown {
	Device *device;
	const char *reason;
	GArray *waiters;
	gboolean wanted;      /* somebody asked for it */
	gboolean running;     /* FALSE: waits for the device's job to end */
	guint branches;       /* under way at once: the device's, the unit's */
	gboolean unit_ending; /* the unit's branch has begun */
	gboolean seizing;     /* that was tried: once */
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
		journal_tell(JOURNAL_STAYS, &(JournalAbout){ .device = device },
			     "device %u (\"%s\") cannot be taken away: %s", device->id,
			     device->name, error->message);
		device_set_state(device, UBLK_STATE_DEAD);
	} else {
		if (teardown->wanted)
			ended_forget(device->uid, device->id, device->name);
		else if (device->bus)
			ended_note(device->uid, device->id, device->name, device->created_at,
				   g_get_real_time(), ublk_bus_device_get_ending(device->bus));
		device_forget(device);
	}
	device->teardown = NULL;
	tell_waiters(teardown, error);
	g_array_unref(teardown->waiters);
	g_clear_error(&error);
	g_free(teardown);
	device_unref(device);
}

static gboolean command(Device *device, guint32 op, guint timeout_ms, ublk_control_done done,
			gpointer user_data, GError **error)
{
	struct ublk_control_cmd cmd = device_make_command(device, op);

	cmd.timeout_ms = timeout_ms;
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

static gboolean seize_after(Teardown *teardown, int res);

static void on_deleted(int res, const void *buf, size_t len, void *user_data)
{
	Teardown *teardown = user_data;

	g_clear_handle_id(&teardown->patience, g_source_remove);
	if (seize_after(teardown, res))
		return;
	/*
	 * -ENOENT: no node to judge by, somebody else deleted it; -ENODEV: nor a device. -EINTR:
	 * ublkd itself was stopped and went on: deleted, but the number may be taken for a while,
	 * which the next ADD_DEV finds out.
	 */
	if (res < 0 && res != -ENODEV && res != -ENOENT && res != -EINTR) {
		teardown->error = error_from_kernel(res, "delete the device");
		branch_end(teardown);
		return;
	}
	udev_wait_gone(UBLK_NODE_CHAR, teardown->device->id, settings()->udev_ms, on_char_gone,
		       teardown);
}

static void tell_busy(Teardown *teardown)
{
	const Device *device = teardown->device;
	struct pollfd server = { .fd = device->server_pidfd, .events = POLLIN };
	g_autoptr(GError) error = NULL;

	if (device->server_pidfd >= 0 && poll(&server, 1, 0) == 0)
		error = g_error_new(
			UBLK_ERROR, UBLK_ERROR_BUSY,
			"the server, process %d, does not let go of device %u; the device "
			"goes as soon as that ends",
			device->server_pid, device->id);
	else
		error = g_error_new(
			UBLK_ERROR, UBLK_ERROR_BUSY,
			"a process still has /dev/ublkb%u or /dev/ublkc%u open; the device "
			"goes as soon as that ends",
			device->id, device->id);
	tell_waiters(teardown, error);
}

/* Those who wait are told so when that time is over. One at a time: the one before is given up. */
static void be_patient(Teardown *teardown, guint ms, GSourceFunc late)
{
	g_clear_handle_id(&teardown->patience, g_source_remove);
	teardown->patience = g_timeout_add(ms, late, teardown);
}

static gboolean on_late(gpointer user_data)
{
	Teardown *teardown = user_data;

	teardown->patience = 0;
	tell_busy(teardown);
	return G_SOURCE_REMOVE;
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

	device_set_state(teardown->device, UBLK_STATE_DEAD);
	return on_late(teardown);
}

static void delete_device(Teardown *teardown)
{
	if (!command(teardown->device, UBLK_U_CMD_DEL_DEV, UBLK_NO_TIMEOUT, on_deleted, teardown,
		     &teardown->error)) {
		branch_end(teardown);
		return;
	}
	be_patient(teardown, settings()->stop_ms, on_delete_late);
}

static void on_unit_stopped(const GError *error, gpointer user_data)
{
	Teardown *teardown = user_data;

	if (error) {
		/* even killed it does not end: it hangs in the kernel. Its name and number stay
		 * taken. */
		g_warning("%s", error->message);
		tell_busy(teardown);
		units_stop(teardown->device->unit, UNIT_MS, on_unit_stopped, teardown);
		return;
	}
	branch_end(teardown);
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

static void stop_io(Teardown *teardown);

static void on_seized(const GError *error, gpointer user_data)
{
	Teardown *teardown = user_data;
	uid_t owner;

	if (!error) {
		stop_io(teardown);
		return;
	}
	/* deleted by somebody else; maybe the number is given away by now, and does not get free */
	if (g_error_matches(error, UBLK_ERROR, UBLK_ERROR_NOT_FOUND)) {
		end_unit(teardown);
		if (!device_get_node_owner(teardown->device, &owner)) {
			udev_wait_gone(UBLK_NODE_CHAR, teardown->device->id, settings()->udev_ms,
				       on_char_gone, teardown);
			return;
		}
	} else {
		teardown->error = g_error_copy(error);
	}
	branch_end(teardown);
}

/* Whether the owner has no right to the node (any more); if so, it begins anew without the owner.
 */
static gboolean seize_after(Teardown *teardown, int res)
{
	if (!seize_is_needed(res) || teardown->seizing)
		return FALSE;
	teardown->seizing = TRUE;
	seize_device(teardown->device, on_seized, teardown);
	return TRUE;
}

static void on_io_stopped(int res, const void *buf, size_t len, void *user_data)
{
	Teardown *teardown = user_data;

	g_clear_handle_id(&teardown->patience, g_source_remove);
	if (seize_after(teardown, res))
		return;
	end_unit(teardown);
	if (res < 0 && res != -ENODEV && res != -ENOENT) {
		teardown->error = error_from_kernel(res, "stop the device");
		branch_end(teardown);
		return;
	}
	delete_device(teardown);
}

/* The server does not end the requests that it has. */
static gboolean on_stop_late(gpointer user_data)
{
	Teardown *teardown = user_data;

	teardown->patience = 0;
	if (teardown->device->unit && !teardown->unit_ending) {
		/* systemd tells it to leave, and kills it if it does not */
		end_unit(teardown);
		be_patient(teardown, UNIT_MS, on_late);
		return G_SOURCE_REMOVE;
	}
	/* somebody's own: the kernel kills it when its oldest request is 30 seconds old */
	return on_late(teardown);
}

/*
 * First STOP_DEV, also when the server seems to have ended. It writes back what the block device
 * caches, through the server; and it waits for the requests under way without keeping anybody else.
 * DEL_DEV would wait for them with the driver's one lock held, under which every user's ADD_DEV and
 * DEL_DEV has to pass: a user whose server is stopped could hold up all others. So no DEL_DEV
 * before STOP_DEV has really come back, however long that takes.
 */
static void stop_io(Teardown *teardown)
{
	if (!command(teardown->device, UBLK_U_CMD_STOP_DEV, UBLK_NO_TIMEOUT, on_io_stopped,
		     teardown, &teardown->error)) {
		branch_end(teardown);
		return;
	}
	be_patient(teardown, settings()->stop_ms, on_stop_late);
}

static void on_creds(Creds *creds, const GError *error, gpointer user_data)
{
	Teardown *teardown = user_data;
	Device *device = teardown->device;

	teardown->branches = 1;
	if (error) {
		teardown->error = g_error_copy(error);
		branch_end(teardown);
		return;
	}
	g_clear_pointer(&device->creds, creds_unref);
	device->creds = creds;
	stop_io(teardown);
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
	journal_tell(JOURNAL_GOES, &(JournalAbout){ .device = device },
		     "device %u (\"%s\") of user %u goes: %s", device->id, device->name,
		     device->uid, teardown->reason);
	if (!device->added) {
		g_idle_add(on_never_added, teardown);
		return;
	}
	device_unbind_sender(device);
	device_set_state(device, UBLK_STATE_STOPPING);
	device_set_ending(device, teardown->reason);
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
		/* its server has ended, but as it should */
		teardown->wanted = device->stop_asked;
		teardown->reason = device->stop_asked ? STOP_ASKED : reason;
		teardown->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
		device->teardown = teardown;
	}
	if (done) {
		g_array_append_val(teardown->waiters, waiter);
		teardown->wanted = TRUE;
	}
	if (teardown->running) {
		/* those before were told that it takes long; this one is not kept waiting without
		 * end either */
		if (done && !teardown->patience)
			be_patient(teardown, settings()->stop_ms, on_late);
		return;
	}
	if (device->job)
		job_cancel(device->job, g_error_new(UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
						    "the device was taken away meanwhile: %s",
						    teardown->reason));
	else
		run(teardown);
}

gboolean teardown_is_wanted(const Device *device)
{
	return device->teardown && device->teardown->wanted;
}

void teardown_job_ended(Device *device)
{
	if (device->teardown && !device->teardown->running)
		run(device->teardown);
}

/* ---- Stop ---- */

typedef struct Stop {
	Device *device;
	TeardownDone done; /* NULL: told already */
	gpointer user_data;
	guint patience; /* source: how long it is waited for */
} Stop;

static void answer(Stop *stop, const GError *error)
{
	TeardownDone done = stop->done;

	g_clear_handle_id(&stop->patience, g_source_remove);
	stop->done = NULL;
	if (done)
		done(error, stop->user_data);
}

static void stop_end(Stop *stop, const GError *error)
{
	Device *device = stop->device;

	device->stop = NULL;
	/* it was not: it can be asked for again */
	if (error && !device->teardown) {
		device_set_state(device, UBLK_STATE_LIVE);
		device_set_ending(device, "");
		device->stop_asked = FALSE;
	}
	answer(stop, error);
	device_unref(device);
	g_free(stop);
}

static void on_stopped(int res, const void *buf, size_t len, void *user_data)
{
	g_autoptr(GError) error = NULL;

	if (res < 0)
		error = error_from_kernel(res, "stop the device");
	stop_end(user_data, error);
}

static gboolean on_stop_slow(gpointer user_data)
{
	Stop *stop = user_data;
	g_autoptr(GError) error = g_error_new(
		UBLK_ERROR, UBLK_ERROR_TIMED_OUT,
		"the server, process %d, does not end the requests that it has; device %u stops as "
		"soon as it does, or ends",
		stop->device->server_pid, stop->device->id);

	stop->patience = 0;
	answer(stop, error);
	return G_SOURCE_REMOVE;
}

/*
 * STOP_DEV waits for the requests that the server has, and holds the device's lock meanwhile, under
 * which other commands on it wait too. It gets no deadline, only its caller does: a device that was
 * live again while the kernel still stops it could be given command after command, which all wait,
 * until there is no worker left for anybody's.
 */
void teardown_stop(Device *device, TeardownDone done, gpointer user_data)
{
	g_autoptr(GError) error = NULL;
	Stop *stop = g_new(Stop, 1);

	*stop = (Stop){ device_ref(device), done, user_data, 0 };
	device->stop = stop;
	device_set_state(device, UBLK_STATE_STOPPING);
	device_set_ending(device, STOP_ASKED);
	device->stop_asked = TRUE;
	if (command(device, UBLK_U_CMD_STOP_DEV, UBLK_NO_TIMEOUT, on_stopped, stop, &error))
		stop->patience = g_timeout_add(settings()->stop_ms, on_stop_slow, stop);
	else
		stop_end(stop, error);
}
