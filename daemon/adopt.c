/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "adopt.h"

#include <errno.h>

#include "affinity.h"
#include "buffers.h"
#include "daemon.h"
#include "device.h"
#include "error.h"
#include "journal.h"
#include "kernel.h"
#include "kernel/ublk-node.h"
#include "seize.h"
#include "state.h"
#include "teardown.h"
#include "udev.h"
#include "units.h"

/* When one fails it is tried again after this long, and then after twice as long each time. */
#define FIRST_RETRY_SECONDS 5
#define LAST_RETRY_SECONDS  60

typedef struct {
	Job job;
	Device *device;
	State *state;
	struct ublksrv_ctrl_dev_info info;
	guint retry; /* seconds until the next try */
} Adoption;

static guint under_way;
static void (*all_done)(void);

static void one_done(void)
{
	if (--under_way == 0)
		all_done();
}

static Adoption *adoption_of(Job *job)
{
	return (Adoption *)job;
}

static void fail_as_anothers(Adoption *adoption)
{
	job_fail(&adoption->job, g_error_new_literal(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
						     "the number is another device's by now"));
}

static void on_node(const GError *error, gpointer user_data)
{
	Job *job = user_data;

	/*
	 * udev may be stopped: the kernel's answer decides in any case, and the cookie in it.
	 */
	if (g_error_matches(error, UBLK_ERROR, UBLK_ERROR_TIMED_OUT))
		job_next(job);
	else
		job_next_or_fail(job, error);
}

static void step_wait_char_node(Job *job)
{
	Adoption *adoption = adoption_of(job);
	const Device *device = adoption->device;

	/* or its owner's rights would be asked for the other user's node, and everybody wait */
	if (device_is_anothers(device))
		fail_as_anothers(adoption);
	else
		udev_wait_known(UBLK_NODE_CHAR, device->id, settings()->udev_ms, job->cancellable,
				on_node, job);
}

static void on_creds(Creds *creds, const GError *error, gpointer user_data)
{
	Device *device = adoption_of(user_data)->device;

	g_clear_pointer(&device->creds, creds_unref);
	device->creds = creds;
	job_next_or_fail(user_data, error);
}

static void step_take_credentials(Job *job)
{
	const Device *device = adoption_of(job)->device;

	creds_acquire(device->uid, device->gid, NULL, 0, on_creds, job);
}

static void command(Adoption *adoption, guint32 op, void *buf, gsize len, ublk_control_done done)
{
	struct ublk_control_cmd cmd = device_make_command(adoption->device, op);
	GError *error = NULL;

	cmd.buf = buf;
	cmd.len = len;
	if (!kernel_command(&cmd, adoption->job.cancellable, done, adoption, &error))
		job_fail(&adoption->job, error);
}

static void step_ask_info(Job *job);

static void on_seized(const GError *error, gpointer user_data)
{
	if (error)
		job_fail(user_data, g_error_copy(error));
	else
		step_ask_info(user_data);
}

static void on_info(int res, const void *buf, size_t len, void *user_data)
{
	Adoption *adoption = user_data;
	Device *device = adoption->device;
	const struct ublksrv_ctrl_dev_info *info = buf;

	if (seize_is_needed(res) && !device->as_self) {
		seize_device(device, on_seized, &adoption->job);
	} else if (res < 0) {
		job_fail(&adoption->job, error_from_kernel(res, "tell about the device"));
	} else if (!device_matches(device, info, len)) {
		fail_as_anothers(adoption);
	} else {
		adoption->info = *info;
		device_publish(device, info);
		job_next(&adoption->job);
	}
}

static void step_ask_info(Job *job)
{
	Adoption *adoption = adoption_of(job);

	command(adoption, UBLK_U_CMD_GET_DEV_INFO2, &adoption->info, sizeof(adoption->info),
		on_info);
}

static void on_params(int res, const void *buf, size_t len, void *user_data)
{
	Adoption *adoption = user_data;

	/* one that was not started has none yet */
	if (res >= 0 && len >= sizeof(struct ublk_params))
		device_set_params(adoption->device, buf);
	job_next(&adoption->job);
}

static void step_ask_params(Job *job)
{
	struct ublk_params params = { .len = sizeof(params) };

	command(adoption_of(job), UBLK_U_CMD_GET_PARAMS, &params, sizeof(params), on_params);
}

static void on_affinity(gpointer user_data)
{
	job_next(user_data);
}

static void step_ask_affinity(Job *job)
{
	affinity_ask(adoption_of(job)->device, job->cancellable, on_affinity, job);
}

static const JobStep steps[] = {
	step_wait_char_node, step_take_credentials, step_ask_info,
	step_ask_params,     step_ask_affinity,     NULL,
};

/* What is to become of a device that is known now. */
static void settle(Adoption *adoption)
{
	Device *device = adoption->device;
	gboolean live = adoption->info.state == UBLK_S_DEV_LIVE;
	g_autoptr(GError) error = NULL;

	/* one whose owner runs the server may have been started in the very moment when we ended */
	if (live && (adoption->state->live || !device->target)) {
		device_set_state(device, UBLK_STATE_LIVE);
		buffers_restore(device, adoption->state->buffers);
		if (!device_bind_server(device, adoption->info.ublksrv_pid, &error))
			teardown_begin(device, "its server has ended", NULL, NULL);
		else if (!adoption->state->live && !device_save(device, &error))
			teardown_begin(device, "its state cannot be kept", NULL, NULL);
		else
			journal_tell(JOURNAL_TAKEN_OVER, &(JournalAbout){ .device = device },
				     "device %u (\"%s\") of user %u goes on, served by process %d",
				     device->id, device->name, device->uid, device->server_pid);
	} else if (!live && !adoption->state->live && adoption->state->sender) {
		/* its creator may still be there: names on the bus are never given twice */
		device_bind_sender(device, bus(), adoption->state->sender, settings()->created_ms);
	} else {
		teardown_begin(device, "ublkd ended while it was being made, or its server has",
			       NULL, NULL);
	}
}

static void adoption_free(Adoption *adoption)
{
	state_free(adoption->state);
	device_unref(adoption->device);
	g_free(adoption);
}

static gboolean on_retry(gpointer user_data);

static gboolean is_there(guint32 id)
{
	g_autofree char *sysfs = g_strdup_printf("/sys/class/ublk-char/ublkc%u", id);

	return g_file_test(sysfs, G_FILE_TEST_EXISTS);
}

static void on_adopted(Job *job, const GError *error)
{
	Adoption *adoption = adoption_of(job);
	Device *device = adoption->device;
	gboolean first = adoption->retry == 0;

	device->job = NULL;
	if (!error) {
		settle(adoption);
	} else if (device->teardown || device->added) {
		teardown_begin(device, "the kernel does not tell about it", NULL, NULL);
	} else if (g_error_matches(error, UBLK_ERROR, UBLK_ERROR_NOT_FOUND) ||
		   !is_there(device->id)) {
		journal_tell(JOURNAL_GOES, &(JournalAbout){ .device = device },
			     "device %u (\"%s\") of user %u is there no more: %s", device->id,
			     device->name, device->uid, error->message);
		device_forget(device);
	} else {
		/* memory, descriptors, a child that its user has killed: it may serve somebody, so
		 * on */
		adoption->retry = first ? FIRST_RETRY_SECONDS
					: MIN(2 * adoption->retry, LAST_RETRY_SECONDS);
		g_warning("device %u (\"%s\") of user %u cannot be taken over; trying again in %u "
			  "s: %s",
			  device->id, device->name, device->uid, adoption->retry, error->message);
		g_timeout_add_seconds(adoption->retry, on_retry, adoption);
		adoption = NULL;
	}
	/* not before: the error may be the job's */
	job_clear(job);
	teardown_job_ended(device);
	if (adoption)
		adoption_free(adoption);
	if (first)
		one_done();
}

static gboolean on_retry(gpointer user_data)
{
	Adoption *adoption = user_data;

	/* it has gone meanwhile (daemon.c saw its node go) */
	if (device_lookup(adoption->device->id) != adoption->device || adoption->device->teardown) {
		adoption_free(adoption);
		return G_SOURCE_REMOVE;
	}
	adoption->device->job = &adoption->job;
	job_begin(&adoption->job, steps, on_adopted);
	return G_SOURCE_REMOVE;
}

/* The server of a device that is gone may be on its way still. */
static void on_unit_gone(const GError *error, gpointer user_data)
{
	g_autofree char *unit = user_data;

	if (error)
		g_warning("%s", error->message);
	one_done();
}

static void adopt_one(guint32 id)
{
	g_autoptr(State) state = state_read(id);
	Adoption *adoption;
	Device *device;

	if (!state || !is_there(id)) {
		state_remove(id);
		if (state && state->unit) {
			char *unit = g_strdup(state->unit);

			under_way++;
			units_stop(unit, settings()->stop_ms, on_unit_gone, unit);
		}
		return;
	}
	device = device_new(id, state->uid, state->gid, state->name, NULL);
	if (!device) {
		state_remove(id);
		return;
	}
	device->cookie = state->cookie;
	device->target = g_strdup(state->target);
	device->backing = g_strdup(state->backing);
	if (state->unit)
		device_set_unit(device, g_strdup(state->unit));
	device->created_at = state->created_at;
	device->beyond = state->beyond;
	device->prompted = state->prompted;

	adoption = g_new0(Adoption, 1);
	adoption->device = device;
	adoption->state = g_steal_pointer(&state);
	device->job = &adoption->job;
	under_way++;
	job_begin(&adoption->job, steps, on_adopted);
}

static gboolean on_nothing(gpointer unused)
{
	one_done();
	return G_SOURCE_REMOVE;
}

void adopt_all(void (*done)(void))
{
	g_autoptr(GArray) ids = state_list();

	all_done = done;
	under_way = 1;
	for (guint i = 0; i < ids->len; i++)
		adopt_one(g_array_index(ids, guint32, i));
	g_idle_add(on_nothing, NULL);
}
