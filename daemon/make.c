/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#include "affinity.h"
#include "authority.h"
#include "buffers.h"
#include "config.h"
#include "daemon.h"
#include "descriptor.h"
#include "error.h"
#include "journal.h"
#include "kernel.h"
#include "kernel/ublk-node.h"
#include "quota.h"
#include "report.h"
#include "slots.h"
#include "teardown.h"
#include "udev.h"
#include "units.h"

typedef struct {
	Job job;
	Request *request;
	Device *device;
	Slot *slot;                /* while it is made, or NULL */
	gulong hurry;              /* handler, while it waits for that */
	struct ublk_limits limits; /* what the device is to be */
	struct ublk_params params;
	pid_t server_pid;
	int report_fd;    /* -1: none, or handed to report_wait() */
	int channel;      /* what comes back from there, or -1 */
	gboolean started; /* the block device exists */
} Make;

static Make *make_of(Job *job)
{
	return (Make *)job;
}

static void fail(Make *make, UblkError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void fail(Make *make, UblkError code, const char *format, ...)
{
	GError *error;
	va_list args;

	va_start(args, format);
	error = g_error_new_valist(UBLK_ERROR, code, format, args);
	va_end(args);
	job_fail(&make->job, error);
}

/* A command about the device, as its owner. FALSE: the job has ended. */
static gboolean command(Make *make, guint32 op, void *buf, gsize len, guint64 data,
			guint timeout_ms, ublk_control_done done)
{
	struct ublk_control_cmd cmd = device_make_command(make->device, op);
	GError *error = NULL;

	cmd.buf = buf;
	cmd.len = len;
	cmd.data = data;
	cmd.timeout_ms = timeout_ms;
	if (kernel_command(&cmd, make->job.cancellable, done, make, &error))
		return TRUE;
	job_fail(&make->job, error);
	return FALSE;
}

/* ---- its turn among the user's other devices ---- */

static void on_slot(gpointer user_data)
{
	Make *make = user_data;

	g_signal_handler_disconnect(make->job.cancellable, make->hurry);
	job_next(&make->job);
}

static void on_given_up(GCancellable *cancellable, gpointer user_data)
{
	Make *make = user_data;

	slot_hurry(make->slot);
}

static void step_wait_slot(Job *job)
{
	Make *make = make_of(job);

	make->slot = slot_wait(make->device->uid, on_slot, make);
	make->hurry =
		g_signal_connect(job->cancellable, "cancelled", G_CALLBACK(on_given_up), make);
}

/* ---- the caller's credentials, for this device's whole life ---- */

static void on_creds(Creds *creds, const GError *error, gpointer user_data)
{
	Make *make = user_data;

	make->device->creds = creds;
	job_next_or_fail(&make->job, error);
}

static void step_take_credentials(Job *job)
{
	Make *make = make_of(job);
	const Caller *caller = make->request->caller;

	creds_acquire(caller->uid, caller->gid, caller->groups, caller->n_groups, on_creds, make);
}

/* ---- ADD_DEV ---- */

static void step_add_device(Job *job);

/* What the kernel made must be what was asked for, or nobody may have it. */
static gboolean is_as_asked(const Make *make, const struct ublksrv_ctrl_dev_info *info, gsize len)
{
	return device_matches(make->device, info, len) && info->dev_id == make->device->id &&
	       (info->flags & UBLK_F_UNPRIVILEGED_DEV) &&
	       (make->request->options->shared_memory != OPTION_TRUE ||
		(info->flags & UBLK_F_SHMEM_ZC));
}

static void on_added(int res, const void *buf, size_t len, void *user_data)
{
	Make *make = user_data;
	Device *device = make->device;
	const struct ublksrv_ctrl_dev_info *info = buf;

	if (res < 0)
		udev_forget(UBLK_NODE_CHAR, device->id);
	if (res == -EEXIST && make->request->options->id == UBLK_DEV_ID_ANY && !make->job.reason &&
	    device_renumber(device)) {
		step_add_device(&make->job);
	} else if (res == -EACCES) {
		fail(make, UBLK_ERROR_LIMIT_EXCEEDED,
		     "the driver takes no more devices of ordinary users (its parameter ublks_max, "
		     "see "
		     "/sys/module/ublk_drv/parameters/ublks_max)");
	} else if (res < 0) {
		job_fail(&make->job, error_from_kernel(res, "add the device"));
	} else {
		device_publish(device, info);
		if (!is_as_asked(make, info, len))
			fail(make, UBLK_ERROR_KERNEL,
			     "the kernel made another device than the one asked for; it is "
			     "deleted");
		else
			job_next(&make->job);
	}
}

static void step_add_device(Job *job)
{
	Make *make = make_of(job);
	const Options *options = make->request->options;
	Device *device = make->device;
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = (guint16)options->queues,
		.queue_depth = (guint16)options->depth,
		.max_io_buf_bytes = options->max_io_size,
		.dev_id = device->id,
		.ublksrv_flags = device->cookie,
		.flags = UBLK_F_UNPRIVILEGED_DEV | UBLK_F_CMD_IOCTL_ENCODE,
	};
	GError *error = NULL;

	/*
	 * older drivers would take an unknown flag and drop it; what is not there is not asked for
	 */
	info.flags |= kernel_get_features() & UBLK_F_UPDATE_SIZE;
	if (options->need_get_data == OPTION_TRUE)
		info.flags |= UBLK_F_NEED_GET_DATA;
	if (options->shared_memory == OPTION_TRUE)
		info.flags |= UBLK_F_SHMEM_ZC;
	/*
	 * before the device, so that a service that is killed in between knows it when it is back
	 */
	if (!device_save(device, &error)) {
		job_fail(job, error);
		return;
	}
	if (command(make, UBLK_U_CMD_ADD_DEV, &info, sizeof(info), 0, UBLK_NO_TIMEOUT, on_added))
		udev_expect(UBLK_NODE_CHAR, device->id);
}

/* ---- udev's word ---- */

static void on_node(const GError *error, gpointer user_data)
{
	Make *make = user_data;

	job_next_or_fail(&make->job, error);
}

static void step_wait_char_node(Job *job)
{
	Make *make = make_of(job);
	const Device *device = make->device;

	udev_wait_ready(UBLK_NODE_CHAR, device->id, device->uid, device->gid, settings()->udev_ms,
			job->cancellable, on_node, make);
}

static void step_wait_block_node(Job *job)
{
	Make *make = make_of(job);
	const Device *device = make->device;

	udev_wait_ready(UBLK_NODE_BLOCK, device->id, device->uid, device->gid, settings()->udev_ms,
			job->cancellable, on_node, make);
}

/* ---- which processors the queues serve ---- */

static void on_affinity(gpointer user_data)
{
	job_next(user_data);
}

static void step_ask_affinity(Job *job)
{
	affinity_ask(make_of(job)->device, job->cancellable, on_affinity, job);
}

/* ---- the managed server ---- */

static GStrv make_arguments(const Make *make)
{
	const Options *options = make->request->options;
	const Device *device = make->device;
	const struct ublk_param *params;
	size_t n;
	GPtrArray *argv = g_ptr_array_new();
	const char *const *queue_cpus = ublk_bus_device_get_queue_cpus(device->bus);
	g_autofree char *cpus = g_strjoinv(":", (GStrv)queue_cpus);
	char node[UBLK_NODE_PATH_MAX];

#define ADD(...) g_ptr_array_add(argv, g_strdup_printf(__VA_ARGS__))
	ADD("%s", UBLK_SERVER_PATH);
	ADD("--target=%s", device->target);
	ADD("--char-device=%s", ublk_node_path(UBLK_NODE_CHAR, device->id, node));
	ADD("--id=%u", device->id);
	ADD("--queues=%u", device->queues);
	ADD("--depth=%u", device->depth);
	ADD("--max-io-size=%u", device->max_io_size);
	ADD("--flags=0x%" G_GINT64_MODIFIER "x", device->flags);
	ADD("--queue-cpus=%s", cpus);
	ADD("--report-fd=0");
	/* never on the command line, which everybody can read: a path tells about its owner */
	if (options->file || options->file_fd >= 0)
		ADD("--receive-file");
	params = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++) {
		guint64 value = ublk_params_get(&options->limits, &params[i]);

		if (!(options->given & ublk_params_bit(&params[i])))
			continue;
		if (params[i].kind == UBLK_PARAM_BOOL)
			ADD("--%s%s", value ? "" : "no-", params[i].name);
		else
			ADD("--%s=%" G_GUINT64_FORMAT, params[i].name, value);
	}
	if (options->direct != OPTION_UNSET)
		ADD(options->direct == OPTION_TRUE ? "--direct" : "--buffered");
#undef ADD
	g_ptr_array_add(argv, NULL);
	return (GStrv)g_ptr_array_free(argv, FALSE);
}

static void on_unit_started(const GError *error, gpointer user_data)
{
	Make *make = user_data;

	job_next_or_fail(&make->job, error);
}

static void step_start_server(Job *job)
{
	Make *make = make_of(job);
	Options *options = make->request->options;
	Device *device = make->device;
	g_auto(GStrv) argv = make_arguments(make);
	GError *error = NULL;
	int theirs = -1;

	if (!report_open(&make->report_fd, &theirs, &error)) {
		job_fail(job, error);
		return;
	}
	device_set_unit(device, units_name(device->id));
	if (!device_save(device, &error) ||
	    ((options->file || options->file_fd >= 0) &&
	     !report_send_file(make->report_fd, options->file, options->file_fd, &error))) {
		close(theirs);
		job_fail(job, error);
		return;
	}
	units_start(device->unit, device->id, device->uid, device->gid, (const char *const *)argv,
		    theirs, job->cancellable, on_unit_started, make);
	close(theirs);
}

/* ---- the server's report ---- */

static void on_report(const struct ublk_limits *limits, pid_t pid, int channel, const GError *error,
		      gpointer user_data)
{
	Make *make = user_data;

	make->channel = channel;
	if (limits) {
		make->limits = *limits;
		if (!make->server_pid)
			make->server_pid = pid;
	}
	job_next_or_fail(&make->job, error);
}

static void step_wait_report(Job *job)
{
	Make *make = make_of(job);
	int fd = make->report_fd;

	if (fd < 0) {
		/* the caller has told all itself */
		make->limits = make->request->options->limits;
		job_next(job);
		return;
	}
	make->report_fd = -1;
	report_wait(fd, make->device->uid, settings()->start_ms, job->cancellable, on_report, make);
}

/*
 * Bind the device to its server: with that it goes. Who that is, is the kernel's word: the report's
 * sender, a pidfd, the caller. Linux 7.2 also refuses to start with one that has not opened the
 * char device; on older ones who names a wrong one harms itself alone: its device goes with that.
 */
static void step_bind_server(Job *job)
{
	Make *make = make_of(job);
	GError *error = NULL;

	if (!make->server_pid)
		make->server_pid = make->request->caller->pid;
	if (device_bind_server(make->device, make->server_pid, &error))
		job_next(job);
	else
		job_fail(job, error);
}

/* ---- authorization again, now that the size is known ---- */

static void on_size_authorized(AuthorityAnswer answer, const char *reason, gpointer user_data)
{
	Make *make = user_data;

	/* a password was typed for just this device already: only a rule's "no" counts */
	if (answer == AUTHORITY_NO || (answer == AUTHORITY_CHALLENGE && !make->device->prompted))
		fail(make, UBLK_ERROR_ACCESS_DENIED,
		     "not authorized to create a device of %" G_GUINT64_FORMAT " bytes: %s",
		     make->limits.size, reason);
	else
		job_next(&make->job);
}

/*
 * What was asked for, the server has to make: it runs as the caller, who has a right to no
 * surprise, and read-only was maybe allowed for that alone. FALSE: the job has ended.
 */
static gboolean is_as_wished(Make *make)
{
	const Options *options = make->request->options;
	const struct ublk_param *params;
	size_t n;

	params = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++) {
		guint64 wished = ublk_params_get(&options->limits, &params[i]);
		guint64 told = ublk_params_get(&make->limits, &params[i]);

		/* of a number 0 is no wish but "the default" */
		if (!(options->given & ublk_params_bit(&params[i])) || wished == told ||
		    (!wished && params[i].kind != UBLK_PARAM_BOOL))
			continue;
		fail(make, UBLK_ERROR_INVALID_ARGUMENT,
		     "option \"%s\" is %" G_GUINT64_FORMAT
		     ", but the server would make it %" G_GUINT64_FORMAT,
		     params[i].name, wished, told);
		return FALSE;
	}
	return TRUE;
}

/*
 * An administrator's rule may decide on the size, which nobody knew when the call came: it is the
 * backing file's, which only the server may open.
 */
static void step_authorize_size(Job *job)
{
	Make *make = make_of(job);

	if (!is_as_wished(make))
		return;
	authority_check(make->request->caller,
			make->device->beyond ? UBLK_ACTION_CREATE_BEYOND : UBLK_ACTION_CREATE,
			request_describe(make->request, make->device, make->limits.size,
					 make->limits.read_only),
			FALSE, job->cancellable, on_size_authorized, make);
}

/* ---- SET_PARAMS, START_DEV ---- */

static void on_params_told(int res, const void *buf, size_t len, void *user_data)
{
	Make *make = user_data;
	const struct ublk_param *lost = NULL;

	if (res >= 0)
		lost = ublk_params_find_lost(&make->limits, &make->params, buf);
	if (lost)
		fail(make, UBLK_ERROR_NOT_SUPPORTED,
		     "option \"%s\" is something that this kernel's ublk driver does not know "
		     "(Linux 6.15 does); leave it out",
		     lost->name);
	else if (res < 0)
		job_fail(&make->job, error_from_kernel(res, "tell the device's parameters"));
	else
		job_next(&make->job);
}

static void on_params_set(int res, const void *buf, size_t len, void *user_data)
{
	Make *make = user_data;
	struct ublk_params kept = { .len = sizeof(kept) };

	/* an older driver drops what it does not know, and says nothing */
	if (res < 0)
		job_fail(&make->job, error_from_kernel(res, "set the device's parameters"));
	else
		command(make, UBLK_U_CMD_GET_PARAMS, &kept, sizeof(kept), 0, settings()->stop_ms,
			on_params_told);
}

static void step_set_params(Job *job)
{
	Make *make = make_of(job);
	const struct ublk_param *param;
	const char *field, *why;

	if (ublk_params_build(&make->limits, make->device->max_io_size, &make->params, &field,
			      &why) < 0) {
		param = ublk_params_find(field);
		fail(make, UBLK_ERROR_INVALID_ARGUMENT,
		     "option \"%s\" is %" G_GUINT64_FORMAT ", which %s", field,
		     ublk_params_get(&make->limits, param), why);
	} else {
		command(make, UBLK_U_CMD_SET_PARAMS, &make->params, sizeof(make->params), 0,
			settings()->stop_ms, on_params_set);
	}
}

static void on_started(int res, const void *buf, size_t len, void *user_data)
{
	Make *make = user_data;

	if (res >= 0) {
		make->started = TRUE;
		device_set_params(make->device, &make->params);
		job_next(&make->job);
		return;
	}
	udev_forget(UBLK_NODE_BLOCK, make->device->id);
	if (res == -ETIMEDOUT)
		fail(make, UBLK_ERROR_TIMED_OUT,
		     "the server has not fetched on all %u queues in time", make->device->queues);
	else if (res == -EINVAL)
		fail(make, UBLK_ERROR_INVALID_STATE,
		     "process %d is not the one that has opened the device's char node",
		     make->server_pid);
	else if (res == -EEXIST)
		fail(make, UBLK_ERROR_INVALID_STATE, "the device is started already");
	else
		job_fail(&make->job, error_from_kernel(res, "start the device"));
}

static void step_start_device(Job *job)
{
	Make *make = make_of(job);
	guint32 id = make->device->id;

	device_set_state(make->device, UBLK_STATE_STARTING);
	if (command(make, UBLK_U_CMD_START_DEV, NULL, 0, (guint64)make->server_pid,
		    settings()->start_ms, on_started))
		udev_expect(UBLK_NODE_BLOCK, id);
}

/* ---- the flows ---- */

static const JobStep add_steps[] = {
	step_wait_slot,
	step_take_credentials,
	step_add_device,
	step_wait_char_node,
	step_ask_affinity,
	step_start_server,
	step_wait_report,
	step_bind_server,
	step_authorize_size,
	step_set_params,
	step_start_device,
	step_wait_block_node,
	NULL,
};

static const JobStep create_steps[] = {
	step_wait_slot,      step_take_credentials, step_add_device,
	step_wait_char_node, step_ask_affinity,     NULL,
};

static const JobStep start_steps[] = {
	step_wait_report,
	step_bind_server,
	step_authorize_size,
	step_set_params,
	step_start_device,
	step_wait_block_node,
	NULL,
};

static Make *make_new(Request *request, Device *device)
{
	Make *make = g_new0(Make, 1);

	make->request = request;
	make->device = device_ref(device);
	make->report_fd = make->channel = -1;
	device->job = &make->job;
	return make;
}

static void make_free(Make *make)
{
	descriptor_close_later(make->report_fd, make->device->uid);
	descriptor_close_later(make->channel, make->device->uid);
	slot_free(make->slot);
	job_clear(&make->job);
	device_unref(make->device);
	g_free(make);
}

/* A caller that waits for a rollback, and why there is one. */
typedef struct {
	Request *request;
	GError *error;
} Rollback;

static void on_rolled_back(const GError *error, gpointer user_data)
{
	Rollback *rollback = user_data;

	request_fail(rollback->request, rollback->error);
	g_free(rollback);
}

/* The device goes; its caller hears why when it is gone. */
static void roll_back(Make *make, const GError *error)
{
	Rollback *rollback = g_new(Rollback, 1);

	rollback->request = make->request;
	rollback->error = g_error_copy(error);
	teardown_begin(make->device, "it could not be made", on_rolled_back, rollback);
}

/* The job has ended: whoever waited to take the device away may. */
static void make_end(Make *make)
{
	teardown_job_ended(make->device);
	make_free(make);
}

static GVariant *object_path(const Device *device)
{
	return g_variant_new_object_path(
		g_dbus_object_get_object_path(G_DBUS_OBJECT(device->object)));
}

static gboolean go_live(Make *make)
{
	Device *device = make->device;
	g_autoptr(GError) error = NULL;

	device_unbind_sender(device);
	device_set_state(device, UBLK_STATE_LIVE);
	if (make->channel >= 0 && device->flags & UBLK_F_SHMEM_ZC) {
		buffers_set_channel(device, make->channel);
		make->channel = -1;
	}
	if (!device_save(device, &error)) {
		/* after a restart nobody would know that it was started: it would be taken away
		 * then */
		roll_back(make, error);
		return FALSE;
	}
	/* who gets the answer and then reads a property finds the new one */
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(device->bus));
	journal_tell(
		JOURNAL_LIVE, &(JournalAbout){ .device = device, .caller = make->request->caller },
		"device %u (\"%s\") of user %u is live: %" G_GUINT64_FORMAT " bytes, process %d",
		device->id, device->name, device->uid, make->limits.size, make->server_pid);
	return TRUE;
}

static void on_add_done(Job *job, const GError *error)
{
	Make *make = make_of(job);

	make->device->job = NULL;
	if (error)
		roll_back(make, error);
	else if (go_live(make))
		request_return(make->request, g_variant_new("(@o)", object_path(make->device)),
			       NULL);
	make_end(make);
}

static void on_create_done(Job *job, const GError *error)
{
	Make *make = make_of(job);
	Device *device = make->device;
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	struct ublk_node_owner owner;
	GError *local = NULL;
	int fd = -1;

	device->job = NULL;
	if (!error) {
		/* the node that was looked at is the node that is handed out */
		fd = ublk_node_open(UBLK_NODE_CHAR, device->id, &owner);
		if (fd < 0 || owner.uid != device->uid || g_unix_fd_list_append(fds, fd, NULL) < 0)
			local = g_error_new(UBLK_ERROR, UBLK_ERROR_KERNEL,
					    "cannot hand out /dev/ublkc%u: %s", device->id,
					    fd < 0 ? g_strerror(-fd) : "it is not the caller's");
		if (fd >= 0)
			close(fd);
	}
	if (error || local) {
		roll_back(make, error ? error : local);
		g_clear_error(&local);
	} else {
		device_bind_sender(device, bus(), make->request->caller->sender,
				   settings()->created_ms);
		journal_tell(
			JOURNAL_CREATED,
			&(JournalAbout){ .device = device, .caller = make->request->caller },
			"device %u (\"%s\") of user %u is created, to be started by process %d",
			device->id, device->name, device->uid, make->request->caller->pid);
		request_return(make->request, g_variant_new("(@oh)", object_path(device), 0), fds);
	}
	make_end(make);
}

static void on_start_done(Job *job, const GError *error)
{
	Make *make = make_of(job);
	Device *device = make->device;

	device->job = NULL;
	if (!error) {
		if (go_live(make))
			request_return(make->request, NULL, NULL);
	} else if (make->started || device->teardown) {
		roll_back(make, error);
	} else {
		/* nothing has come of it: it can be started again until its time is over */
		device_unbind_server(device);
		device_set_state(device, UBLK_STATE_CREATED);
		request_fail(make->request, g_error_copy(error));
	}
	make_end(make);
}

/* The device's place in the table; everything is checked once more, since time has passed. */
static Device *reserve(Request *request)
{
	const Caller *caller = request->caller;
	UserLimits limits = request_get_limits(request);
	GError *error = NULL;
	Device *device = device_new(request->options->id, caller->uid, caller->gid,
				    request->options->name, &error);

	if (!device) {
		request_fail(request, error);
		return NULL;
	}
	quota_note_creation(caller->uid, &limits);
	device->queues = request->options->queues;
	device->depth = request->options->depth;
	device->beyond = request->limit != NULL;
	device->prompted = request->prompted;
	return device;
}

void make_add(Request *request)
{
	g_autoptr(Device) device = reserve(request);

	if (!device)
		return;
	device->target = g_strdup(request->text);
	device->backing = g_strdup(request->options->file);
	/* who leaves before the answer (Ctrl-C) would have a device and not know of it */
	device_watch_sender(device, bus(), request->caller->sender);
	job_begin(&make_new(request, device)->job, add_steps, on_add_done);
}

void make_create(Request *request)
{
	g_autoptr(Device) device = reserve(request);

	if (!device)
		return;
	device->sender = g_strdup(request->caller->sender);
	job_begin(&make_new(request, device)->job, create_steps, on_create_done);
}

void make_start(Request *request)
{
	Options *options = request->options;
	GError *error = NULL;
	pid_t server = 0;
	Make *make;

	if (options->server_fd >= 0) {
		server = descriptor_get_pid(options->server_fd, UBLK_OPT_SERVER, &error);
		if (server < 0) {
			request_fail(request, error);
			return;
		}
	}
	make = make_new(request, request->device);
	make->server_pid = server;
	if (options->report == OPTION_TRUE) {
		make->report_fd = request->device->report_fd;
		request->device->report_fd = -1;
	}
	job_begin(&make->job, start_steps, on_start_done);
}
