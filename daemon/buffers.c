/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "buffers.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "audit.h"
#include "channel.h"
#include "daemon.h"
#include "error.h"
#include "fdstore.h"
#include "kernel.h"
#include "memfd.h"
#include "quota.h"

/* The driver's own limit for one buffer. */
#define MAX_SIZE (1ULL << 32)
/* Of Buffer.index: it has none yet. */
#define NO_INDEX G_MAXUINT

typedef struct {
	Device *device; /* borrowed: the buffer is in its list */
	guint index;
	guint64 size;
	char *sender;   /* with whose leaving the bus it goes, or NULL */
	guint watch;    /* of that name */
	gboolean there; /* the kernel has it, and nothing is under way to take it away */
} Buffer;

struct Buffers {
	GPtrArray *all;
	Channel *channel;      /* NULL: its owner's own server knows by itself, or we lost it */
	gboolean channel_lost; /* it was the ublkd's before this one */
	gboolean busy;         /* an operation is under way; the others wait: */
	GQueue waiting;
};

/* One call, or what follows from somebody's leaving. */
typedef struct {
	Job job;
	const JobStep *steps;
	JobDone done;
	Device *device;
	Request *request; /* NULL: nobody waits for it */
	Buffer *buffer;
	Memfd memfd;
	void *map;
	gboolean given; /* the server has the memory */
	int in_kernel;  /* the kernel's index, or -1 */
	guint64 served;
	GError *error; /* why it is undone */
} Operation;

static Operation *operation_of(Job *job)
{
	return (Operation *)job;
}

static void buffer_free(gpointer data)
{
	Buffer *buffer = data;

	g_clear_handle_id(&buffer->watch, g_bus_unwatch_name);
	g_free(buffer->sender);
	g_free(buffer);
}

static Buffers *buffers_get(Device *device)
{
	if (!device->buffers) {
		device->buffers = g_new0(Buffers, 1);
		device->buffers->all = g_ptr_array_new_with_free_func(buffer_free);
		g_queue_init(&device->buffers->waiting);
	}
	return device->buffers;
}

void buffers_free(Buffers *buffers)
{
	if (!buffers)
		return;
	/* each operation holds a reference to the device: there is none any more */
	g_assert(!buffers->busy && g_queue_is_empty(&buffers->waiting));
	g_clear_pointer(&buffers->channel, channel_free);
	g_ptr_array_unref(buffers->all);
	g_free(buffers);
}

/* The cookie tells it from that of an earlier device of the same number. */
static char *channel_name(const Device *device)
{
	return g_strdup_printf("channel-%u-%016" G_GINT64_MODIFIER "x", device->id, device->cookie);
}

void buffers_set_channel(Device *device, int fd)
{
	Buffers *buffers = buffers_get(device);
	g_autofree char *name = channel_name(device);

	/* for the next ublkd, if this one dies: there is no other way to the server */
	fdstore_keep(name, fd);
	g_clear_pointer(&buffers->channel, channel_free);
	buffers->channel = channel_new(fd, device->uid, 0);
}

static void restore_channel(Device *device)
{
	Buffers *buffers = buffers_get(device);
	g_autofree char *name = channel_name(device);
	int fd = fdstore_take(name);

	if (fd >= 0)
		buffers->channel = channel_new(fd, device->uid, g_random_int());
	else
		buffers->channel_lost = TRUE;
}

void buffers_forget(Device *device)
{
	g_autofree char *name = NULL;

	if (!device->buffers)
		return;
	if (device->buffers->channel) {
		name = channel_name(device);
		fdstore_drop(name);
	}
	for (guint i = 0; i < device->buffers->all->len; i++) {
		Buffer *buffer = g_ptr_array_index(device->buffers->all, i);

		g_clear_handle_id(&buffer->watch, g_bus_unwatch_name);
	}
}

guint64 buffers_get_size(const Device *device, guint *count)
{
	const Buffers *buffers = device->buffers;
	guint64 size = 0;

	for (guint i = 0; buffers && i < buffers->all->len; i++) {
		const Buffer *buffer = g_ptr_array_index(buffers->all, i);

		size += buffer->size;
	}
	if (count)
		*count = buffers ? buffers->all->len : 0;
	return size;
}

static Buffer *find(const Device *device, guint index)
{
	const Buffers *buffers = device->buffers;

	for (guint i = 0; buffers && i < buffers->all->len; i++) {
		Buffer *buffer = g_ptr_array_index(buffers->all, i);

		if (buffer->index == index)
			return buffer;
	}
	return NULL;
}

/* What the driver will choose: the lowest that is free (seen by tests/driver/driver-shmem). */
static guint next_index(const Device *device)
{
	guint index = 0;

	while (find(device, index))
		index++;
	return index;
}

/* ---- one operation at a time ---- */

static void run_next(Device *device)
{
	Buffers *buffers = device->buffers;
	Operation *op;

	if (buffers->busy)
		return;
	op = g_queue_pop_head(&buffers->waiting);
	if (!op)
		return;
	buffers->busy = TRUE;
	job_begin(&op->job, op->steps, op->done);
}

static Operation *operation_new(Request *request, Buffer *buffer, const JobStep *steps,
				JobDone done)
{
	Operation *op = g_new0(Operation, 1);

	op->device = device_ref(buffer->device);
	op->request = request;
	op->buffer = buffer;
	op->steps = steps;
	op->done = done;
	op->in_kernel = -1;
	g_queue_push_tail(&op->device->buffers->waiting, op);
	return op;
}

/* Ends it; the request, if there is one, has been or is about to be answered by the caller. */
static void operation_end(Operation *op)
{
	g_autoptr(Device) device = op->device;

	if (op->map)
		munmap(op->map, op->memfd.size);
	g_clear_error(&op->error);
	job_clear(&op->job);
	g_free(op);
	device->buffers->busy = FALSE;
	if (device->bus)
		ublk_bus_device_set_shared_memory(device->bus, buffers_get_size(device, NULL));
	run_next(device);
}

static gboolean is_usable(const Device *device)
{
	return device_lookup(device->id) == device && !device->teardown &&
	       g_str_equal(device->state, UBLK_STATE_LIVE);
}

/* Time has passed while it waited for its turn. */
static void step_look_again(Job *job)
{
	const Device *device = operation_of(job)->device;

	if (is_usable(device))
		job_next(job);
	else
		job_fail(job, g_error_new(UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
					  "device %u is %s by now, not " UBLK_STATE_LIVE,
					  device->id, device->state));
}

static gboolean command(Operation *op, guint32 cmd_op, void *buf, gsize len, guint64 data,
			ublk_control_done done)
{
	struct ublk_control_cmd cmd = device_make_command(op->device, cmd_op);
	GError *error = NULL;

	cmd.buf = buf;
	cmd.len = len;
	cmd.data = data;
	/*
	 * Both commands wait for the requests under way, and no signal ends that; a device whose
	 * server does not answer keeps only its own owner waiting, until the kernel kills the
	 * server for it. Giving up would leave open what the kernel has registered.
	 */
	cmd.timeout_ms = UBLK_NO_TIMEOUT;
	if (kernel_command(&cmd, NULL, done, op, &error))
		return TRUE;
	job_fail(&op->job, error);
	return FALSE;
}

/* ---- taking away: first from the driver, then from the server ---- */

static void on_unregistered(int res, const void *buf, size_t len, void *user_data)
{
	Operation *op = user_data;

	/* -ENOENT: ublkd was killed before the kernel had it, or after it had let it go */
	if (res < 0 && res != -ENOENT && res != -ENODEV) {
		job_fail(&op->job, error_from_kernel(res, "let go of shared memory"));
		return;
	}
	op->in_kernel = -1;
	job_next(&op->job);
}

static void step_unregister(Job *job)
{
	Operation *op = operation_of(job);

	if (op->in_kernel < 0)
		job_next(job);
	else
		command(op, UBLK_U_CMD_UNREG_BUF, NULL, 0, (guint64)op->in_kernel, on_unregistered);
}

static void on_taken(guint64 served, const GError *error, gpointer user_data)
{
	Operation *op = user_data;

	/* a server that keeps its mapping is not given another memory with this index */
	if (error)
		g_message("device %u: %s", op->device->id, error->message);
	op->served = served;
	op->given = FALSE;
	job_next(&op->job);
}

static void step_take(Job *job)
{
	Operation *op = operation_of(job);
	Channel *channel = op->device->buffers->channel;

	if (channel && op->given)
		channel_take(channel, op->buffer->index, settings()->stop_ms, on_taken, op);
	else
		job_next(job);
}

static void save(Device *device)
{
	g_autoptr(GError) error = NULL;

	/* then the file still names one that is gone: the next ublkd finds that out */
	if (device_lookup(device->id) == device && !device_save(device, &error))
		g_warning("%s", error->message);
}

static void drop_buffer(Operation *op)
{
	g_ptr_array_remove(op->device->buffers->all, op->buffer);
	op->buffer = NULL;
	save(op->device);
}

static void on_unregister_done(Job *job, const GError *error)
{
	Operation *op = operation_of(job);
	Request *request = op->request;
	g_autoptr(GError) failure = error ? g_error_copy(error) : NULL;
	guint64 served = op->served;

	if (!failure) {
		if (audit_may_tell_sharing(op->device))
			g_message("device %u: shared memory %u is taken back; it served "
				  "%" G_GUINT64_FORMAT " requests",
				  op->device->id, op->buffer->index, served);
		drop_buffer(op);
	} else {
		op->buffer->there = TRUE;
		if (!request)
			g_message("device %u: shared memory %u stays: %s", op->device->id,
				  op->buffer->index, failure->message);
	}
	operation_end(op);
	if (request && failure)
		request_fail(request, g_steal_pointer(&failure));
	else if (request)
		request_return(request, g_variant_new("(t)", served), NULL);
}

static const JobStep unregister_steps[] = { step_look_again, step_unregister, step_take, NULL };

static void begin_unregister(Buffer *buffer, Request *request)
{
	Operation *op = operation_new(request, buffer, unregister_steps, on_unregister_done);

	buffer->there = FALSE;
	op->in_kernel = (int)buffer->index;
	op->given = TRUE;
	run_next(buffer->device);
}

static void on_sender_vanished(GDBusConnection *connection, const char *name, gpointer user_data)
{
	Buffer *buffer = user_data;

	g_clear_handle_id(&buffer->watch, g_bus_unwatch_name);
	g_clear_pointer(&buffer->sender, g_free);
	if (buffer->there)
		begin_unregister(buffer, NULL);
}

/*
 * Pinned memory must have somebody whose it is: it is let go when who registered it leaves the bus,
 * unless that was told that it shall stay.
 */
static void watch_sender(Buffer *buffer)
{
	if (buffer->sender)
		buffer->watch = g_bus_watch_name_on_connection(bus(), buffer->sender,
							       G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
							       on_sender_vanished, buffer, NULL);
}

/* ---- registering: first to the server, then to the driver ---- */

/*
 * Before anything is done, so that a ublkd that is killed in between knows of it when it is back.
 */
static void step_choose_index(Job *job)
{
	Operation *op = operation_of(job);
	GError *error = NULL;

	op->buffer->index = next_index(op->device);
	if (device_save(op->device, &error))
		job_next(job);
	else
		job_fail(job, error);
}

static void on_given(guint64 served, const GError *error, gpointer user_data)
{
	Operation *op = user_data;

	op->given = !error;
	job_next_or_fail(&op->job, error);
}

/*
 * The server has the memory before the driver can hand out a request in it. The index is the
 * driver's to choose, but can be known: nobody else than ublkd may issue its commands, and it takes
 * the lowest.
 */
static void step_give(Job *job)
{
	Operation *op = operation_of(job);
	Channel *channel = op->device->buffers->channel;

	if (channel)
		channel_give(channel, op->buffer->index, op->memfd.size, op->memfd.read_only,
			     op->request->options->memory_fd, settings()->stop_ms, on_given, op);
	else
		job_next(job);
}

/*
 * The driver has chosen another index than was foreseen. Either root registers memory by itself; or
 * the table has one that the driver has not: a ublkd was killed before it was registered.
 */
static void take_other_index(Operation *op, guint index, GError **error)
{
	Device *device = op->device;
	Buffer *absent = find(device, index);

	if (!device->buffers->channel) {
		if (absent && absent->there)
			g_ptr_array_remove(device->buffers->all, absent);
		op->buffer->index = index;
		device_save(device, error);
		return;
	}
	/* the server knows ours by the wrong name: all is undone, and then that one cleared away */
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_BUSY,
		    "the driver has given the memory index %u, not %u as was foreseen; try again",
		    index, op->buffer->index);
	if (absent && absent->there)
		begin_unregister(absent, NULL);
}

static void on_registered(int res, const void *buf, size_t len, void *user_data)
{
	Operation *op = user_data;
	Device *device = op->device;
	GError *error = NULL;

	munmap(op->map, op->memfd.size);
	op->map = NULL;
	if (res == -EEXIST) {
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_EXISTS,
				    "this memory, or a part of it, is registered with device %u "
				    "already",
				    device->id);
	} else if (res == -ENOMEM || res == -EFAULT || res == -ENOSPC) {
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
				    "the kernel cannot pin the memory: %s", g_strerror(-res));
	} else if (res < 0) {
		error = error_from_kernel(res, "pin the memory");
	} else {
		op->in_kernel = res;
		if ((guint)res != op->buffer->index)
			take_other_index(op, (guint)res, &error);
	}
	if (error)
		job_fail(&op->job, error);
	else
		job_next(&op->job);
}

static void step_register(Job *job)
{
	Operation *op = operation_of(job);
	struct ublk_shmem_buf_reg reg = { .len = op->memfd.size };
	GError *error = NULL;

	/*
	 * Mapped with the rights that the descriptor has, not with ublkd's: what its sender could
	 * not write to is not written to here. The driver pins what is behind the addresses of the
	 * process that issues the command, this one; afterwards it needs them no more.
	 */
	op->map = memfd_map(op->request->options->memory_fd, &op->memfd, &error);
	if (!op->map) {
		job_fail(job, error);
		return;
	}
	reg.addr = (guint64)(guintptr)op->map;
	reg.flags = op->memfd.read_only ? UBLK_SHMEM_BUF_READ_ONLY : 0;
	command(op, UBLK_U_CMD_REG_BUF, &reg, sizeof(reg), 0, on_registered);
}

static void on_undone(Job *job, const GError *error)
{
	Operation *op = operation_of(job);
	Request *request = op->request;
	GError *failure = g_steal_pointer(&op->error);

	if (error)
		g_warning("device %u: %s", op->device->id, error->message);
	drop_buffer(op);
	operation_end(op);
	request_fail(request, failure);
}

static const JobStep undo_steps[] = { step_unregister, step_take, NULL };

static void on_register_done(Job *job, const GError *error)
{
	Operation *op = operation_of(job);
	g_autoptr(Device) device = device_ref(op->device);
	Request *request = op->request;
	Buffer *buffer = op->buffer;
	guint index = buffer->index;

	if (error) {
		op->error = g_error_copy(error);
		job_clear(job);
		job_begin(job, undo_steps, on_undone);
		return;
	}
	if (audit_may_tell_sharing(device))
		g_message("device %u: shared memory %u of %" G_GUINT64_FORMAT " bytes%s",
			  device->id, index, buffer->size,
			  op->memfd.read_only ? ", read-only" : "");
	buffer->there = TRUE;
	operation_end(op);
	request_return(request, g_variant_new("(u)", index), NULL);
	/* last: who has left already is noticed at once; unless the device has gone meanwhile */
	if (device_lookup(device->id) == device)
		watch_sender(buffer);
}

/*
 * The server takes its time with the answer, up to the limit: the device may be gone by then, and
 * its number another one's, which the same user may use. So it is looked at again.
 */
static const JobStep register_steps[] = {
	step_look_again, step_choose_index, step_give, step_look_again, step_register, NULL,
};

/* ---- the methods ---- */

gboolean buffers_is_busy(const Device *device)
{
	return device->buffers && device->buffers->busy;
}

gboolean buffers_check(Request *request, GError **error)
{
	const Device *device = request->device;

	if (!(device->flags & UBLK_F_SHMEM_ZC)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_NOT_SUPPORTED,
			    "device %u was not made with option \"" UBLK_OPT_SHARED_MEMORY
			    "\" (feature \"shmem-zc\", Linux 7.1)",
			    device->id);
		return FALSE;
	}
	if (!is_usable(device)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
			    "device %u is %s, not " UBLK_STATE_LIVE, device->id, device->state);
		return FALSE;
	}
	return TRUE;
}

void buffers_register(Request *request)
{
	Device *device = request->device;
	const Options *options = request->options;
	Buffers *buffers = buffers_get(device);
	UserLimits limits = request_get_limits(request);
	GError *error = NULL;
	Operation *op;
	Buffer *buffer;
	Memfd memfd;

	if (buffers->channel_lost) {
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
						  "ublkd was stopped and started since device %u "
						  "was made, and cannot tell its server of more "
						  "shared memory; make the device anew",
						  device->id));
		return;
	}
	if (!memfd_check(options->memory_fd, MAX_SIZE, &memfd, &error) ||
	    !quota_check_shared_memory(device->uid, &limits, memfd.size, &error)) {
		request_fail(request, error);
		return;
	}
	/* it counts from now on */
	buffer = g_new0(Buffer, 1);
	buffer->device = device;
	buffer->index = NO_INDEX;
	buffer->size = memfd.size;
	buffer->sender = options->keep == OPTION_TRUE ? NULL : g_strdup(request->caller->sender);
	g_ptr_array_add(buffers->all, buffer);
	op = operation_new(request, buffer, register_steps, on_register_done);
	op->memfd = memfd;
	run_next(device);
}

void buffers_unregister(Request *request)
{
	Buffer *buffer = find(request->device, request->options->index);

	if (!buffer || !buffer->there) {
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
						  "device %u has no shared memory %u",
						  request->device->id, request->options->index));
		return;
	}
	begin_unregister(buffer, request);
}

/* ---- over a restart ---- */

/* "server" if memory goes through a channel; then INDEX/SIZE/SENDER for each, SENDER "-": none. */
char *buffers_describe(const Device *device)
{
	const Buffers *buffers = device->buffers;
	g_autoptr(GString) text = g_string_new(NULL);

	if (!buffers)
		return NULL;
	if (buffers->channel || buffers->channel_lost)
		g_string_append(text, "server ");
	for (guint i = 0; i < buffers->all->len; i++) {
		const Buffer *buffer = g_ptr_array_index(buffers->all, i);

		if (buffer->index != NO_INDEX)
			g_string_append_printf(text, "%u/%" G_GUINT64_FORMAT "/%s ", buffer->index,
					       buffer->size, buffer->sender ? buffer->sender : "-");
	}
	return g_string_free(g_steal_pointer(&text), FALSE);
}

void buffers_restore(Device *device, const char *text)
{
	g_auto(GStrv) words = g_strsplit(text ? text : "", " ", -1);
	g_autoptr(GPtrArray) restored = g_ptr_array_new();
	guint64 index, size;

	for (char **word = words; *word; word++) {
		g_auto(GStrv) parts = g_strsplit(*word, "/", 3);
		Buffer *buffer;

		if (g_str_equal(*word, "server")) {
			restore_channel(device);
			continue;
		}
		if (g_strv_length(parts) != 3 ||
		    !g_ascii_string_to_unsigned(parts[0], 10, 0, G_MAXUINT16, &index, NULL) ||
		    !g_ascii_string_to_unsigned(parts[1], 10, 1, MAX_SIZE, &size, NULL) ||
		    find(device, (guint)index))
			continue;
		buffer = g_new0(Buffer, 1);
		buffer->device = device;
		buffer->index = (guint)index;
		buffer->size = size;
		buffer->there = TRUE;
		if (g_dbus_is_unique_name(parts[2]))
			buffer->sender = g_strdup(parts[2]);
		g_ptr_array_add(buffers_get(device)->all, buffer);
		g_ptr_array_add(restored, buffer);
	}
	ublk_bus_device_set_shared_memory(device->bus, buffers_get_size(device, NULL));
	for (guint i = 0; i < restored->len; i++)
		watch_sender(g_ptr_array_index(restored, i));
}
