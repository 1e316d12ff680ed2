/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "methods.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <unistd.h>

#include "authority.h"
#include "buffers.h"
#include "daemon.h"
#include "descriptor.h"
#include "error.h"
#include "kernel.h"
#include "make.h"
#include "open.h"
#include "report.h"
#include "request.h"
#include "teardown.h"

static gboolean wrong_state(const Device *device, const char *wanted, GError **error)
{
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE, "device %u is %s, not %s",
		    device->id, device->state, wanted);
	return FALSE;
}

static gboolean check_created(Request *request, GError **error)
{
	const Device *device = request->device;

	if (device->teardown || device->job || device->target ||
	    !g_str_equal(device->state, UBLK_STATE_CREATED))
		return wrong_state(device, UBLK_STATE_CREATED, error);
	return TRUE;
}

static gboolean check_start(Request *request, GError **error)
{
	const Options *options = request->options;

	if (!check_created(request, error))
		return FALSE;
	if (options->report == OPTION_TRUE && options->given) {
		g_set_error_literal(
			error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			"option \"report\" tells all about the device: no other option but "
			"\"server\" goes with it");
		return FALSE;
	}
	if (options->report == OPTION_TRUE && request->device->report_fd < 0) {
		g_set_error_literal(error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
				    "there is no socket for a report: call OpenReport before each "
				    "Start with option \"report\" (again if ublkd was restarted)");
		return FALSE;
	}
	if (options->report != OPTION_TRUE && !options->limits.size) {
		g_set_error_literal(
			error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			"option \"size\" is needed where there is no option \"report\"");
		return FALSE;
	}
	return TRUE;
}

static gboolean check_live(Request *request, GError **error)
{
	Device *device = request->device;

	if (device->teardown || !g_str_equal(device->state, UBLK_STATE_LIVE))
		return wrong_state(device, UBLK_STATE_LIVE, error);
	return TRUE;
}

static gboolean check_resize(Request *request, GError **error)
{
	guint32 block_size = ublk_bus_device_get_logical_block_size(request->device->bus);

	if (!check_live(request, error))
		return FALSE;
	/* the kernel would keep it waiting, and a worker with it, as often as it is called */
	if (buffers_is_busy(request->device)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_BUSY,
			    "device %u is being given or losing shared memory; try again later",
			    request->device->id);
		return FALSE;
	}
	if (!request->size || !block_size || request->size % block_size ||
	    request->size > G_MAXINT64) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			    "the size must be a multiple of the logical block size, %u bytes, and "
			    "not 0",
			    block_size);
		return FALSE;
	}
	/* nobody shall make a device that has more than its file by forgetting about the file */
	if (request->device->flags & UBLK_F_UPDATE_SIZE &&
	    g_strcmp0(request->device->target, "loop") == 0 &&
	    request->size > ublk_bus_device_get_size(request->device->bus) &&
	    request->options->backed != OPTION_TRUE) {
		g_set_error(
			error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			"the backing file of device %u must have %" G_GUINT64_FORMAT
			" bytes for that, and ublkd has no right to look at it: make it that "
			"large and say so with option \"backed\", or use \"ublk-client resize\"",
			request->device->id, request->size);
		return FALSE;
	}
	return TRUE;
}

static void on_gone(const GError *error, gpointer user_data)
{
	Request *request = user_data;

	if (error)
		request_fail(request, g_error_copy(error));
	else
		request_return(request, NULL, NULL);
}

static void act_stop(Request *request)
{
	teardown_stop(request->device, on_gone, request);
}

static void act_delete(Request *request)
{
	teardown_begin(request->device, "its deletion was asked for", on_gone, request);
}

static void on_resized(int res, const void *buf, size_t len, void *user_data)
{
	Request *request = user_data;

	if (res < 0) {
		request_fail(request, error_from_kernel(res, "change a device's size"));
		return;
	}
	device_set_size(request->device, request->size);
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(request->device->bus));
	request_return(request, NULL, NULL);
}

static void resize(Request *request)
{
	struct ublk_control_cmd cmd = device_make_command(request->device, UBLK_U_CMD_UPDATE_SIZE);
	GError *error = NULL;

	cmd.data = request->size >> 9;
	if (!kernel_command(&cmd, NULL, on_resized, request, &error))
		request_fail(request, error);
}

static void on_size_authorized(AuthorityAnswer answer, const char *reason, gpointer user_data)
{
	Request *request = user_data;
	GError *error = NULL;

	/* a password that was typed for another size does not count for this one */
	if (answer == AUTHORITY_NO || answer == AUTHORITY_CHALLENGE)
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
						  "not authorized to have a device of "
						  "%" G_GUINT64_FORMAT " bytes: %s",
						  request->size, reason));
	else if (!check_resize(request, &error))
		request_fail(request, error);
	else
		resize(request);
}

/* A rule on the size of new devices is not got round by making them larger afterwards. */
static void act_resize(Request *request)
{
	if (!(request->device->flags & UBLK_F_UPDATE_SIZE)) {
		request_fail(request,
			     g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_SUPPORTED,
					 "this kernel's ublk driver cannot change the size of "
					 "device %u (feature \"update-size\", Linux 6.16)",
					 request->device->id));
		return;
	}
	authority_check(request->caller,
			request->device->beyond ? UBLK_ACTION_CREATE_BEYOND : UBLK_ACTION_CREATE,
			request_describe(request, request->device, request->size,
					 ublk_bus_device_get_read_only(request->device->bus)),
			request_is_interactive(request), NULL, on_size_authorized, request);
}

static void act_get_backing_file(Request *request)
{
	const char *path = request->device->backing;

	request_return(request, g_variant_new("(s)", path ? path : ""), NULL);
}

/*
 * Both ends are ours: a socket that the caller had made, and could read from too, would have a
 * reader wait for as long as the caller likes (recvmsg() locks the socket while it copies to a
 * page of FUSE's or userfaultfd's), and would bring what the caller asked it for (SO_PASSPIDFD).
 */
static void act_open_report(Request *request)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	Device *device = request->device;
	GError *error = NULL;
	int ours, theirs;

	if (!report_open(&ours, &theirs, &error)) {
		request_fail(request, error);
		return;
	}
	if (g_unix_fd_list_append(fds, theirs, &error) < 0) {
		close(ours);
		request_fail(request, error);
	} else {
		descriptor_close_later(device->report_fd, device->uid);
		device->report_fd = ours;
		request_return(request, g_variant_new("(h)", 0), fds);
	}
	close(theirs);
}

static const RequestMethod method_open_report = { "report", OPTIONS_NONE, check_created,
						  act_open_report, .gives = TRUE };
static const RequestMethod method_start = { "start", OPTIONS_START, check_start, make_start };
static const RequestMethod method_stop = { "stop", OPTIONS_NONE, check_live, act_stop };
static const RequestMethod method_delete = { "delete", OPTIONS_NONE, NULL, act_delete };
static const RequestMethod method_resize = { "resize", OPTIONS_RESIZE, check_resize, act_resize };
static const RequestMethod method_get_backing_file = { "read the backing file", OPTIONS_NONE, NULL,
						       act_get_backing_file };
static const RequestMethod method_register_buffer = { "register memory", OPTIONS_REGISTER_BUFFER,
						      buffers_check, buffers_register,
						      .counts = TRUE };
static const RequestMethod method_unregister_buffer = { "unregister memory",
							OPTIONS_UNREGISTER_BUFFER, buffers_check,
							buffers_unregister };

static const RequestMethod method_open = { "open", OPTIONS_OPEN, open_check, open_act,
					   .gives = TRUE };

static gboolean handle_start(UblkBusDevice *object, GDBusMethodInvocation *invocation,
			     GUnixFDList *fds, GVariant *options, gpointer device)
{
	return request_begin(&method_start, invocation, device, options, NULL, 0);
}

static gboolean handle_open_report(UblkBusDevice *object, GDBusMethodInvocation *invocation,
				   GUnixFDList *fds, GVariant *options, gpointer device)
{
	return request_begin(&method_open_report, invocation, device, options, NULL, 0);
}

static gboolean handle_stop(UblkBusDevice *object, GDBusMethodInvocation *invocation,
			    GVariant *options, gpointer device)
{
	return request_begin(&method_stop, invocation, device, options, NULL, 0);
}

static gboolean handle_delete(UblkBusDevice *object, GDBusMethodInvocation *invocation,
			      GVariant *options, gpointer device)
{
	return request_begin(&method_delete, invocation, device, options, NULL, 0);
}

static gboolean handle_resize(UblkBusDevice *object, GDBusMethodInvocation *invocation,
			      guint64 size, GVariant *options, gpointer device)
{
	return request_begin(&method_resize, invocation, device, options, NULL, size);
}

static gboolean handle_get_backing_file(UblkBusDevice *object, GDBusMethodInvocation *invocation,
					GVariant *options, gpointer device)
{
	return request_begin(&method_get_backing_file, invocation, device, options, NULL, 0);
}

static gboolean handle_open_block_device(UblkBusDevice *object, GDBusMethodInvocation *invocation,
					 GUnixFDList *fds, GVariant *options, gpointer device)
{
	return request_begin(&method_open, invocation, device, options, NULL, 0);
}

/* An argument is looked at like an option: when it is known who calls, and not before. */
static GVariant *with_argument(GVariant *options, const char *key, GVariant *value)
{
	GVariantBuilder builder;
	GVariantIter iter;
	GVariant *entry;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&builder, "{sv}", key, value);
	g_variant_iter_init(&iter, options);
	while ((entry = g_variant_iter_next_value(&iter))) {
		g_variant_builder_add_value(&builder, entry);
		g_variant_unref(entry);
	}
	return g_variant_ref_sink(g_variant_builder_end(&builder));
}

static gboolean handle_register_buffer(UblkBusDevice *object, GDBusMethodInvocation *invocation,
				       GUnixFDList *fds, GVariant *memory, GVariant *options,
				       gpointer device)
{
	g_autoptr(GVariant) all = with_argument(options, UBLK_OPT_MEMORY, memory);

	return request_begin(&method_register_buffer, invocation, device, all, NULL, 0);
}

static gboolean handle_unregister_buffer(UblkBusDevice *object, GDBusMethodInvocation *invocation,
					 guint index, GVariant *options, gpointer device)
{
	g_autoptr(GVariant)
		all = with_argument(options, UBLK_OPT_INDEX, g_variant_new_uint32(index));

	return request_begin(&method_unregister_buffer, invocation, device, all, NULL, 0);
}

void methods_connect(Device *device)
{
	static const struct {
		const char *signal;
		GCallback handler;
	} all[] = {
		{ "handle-start", G_CALLBACK(handle_start) },
		{ "handle-open-report", G_CALLBACK(handle_open_report) },
		{ "handle-stop", G_CALLBACK(handle_stop) },
		{ "handle-delete", G_CALLBACK(handle_delete) },
		{ "handle-resize", G_CALLBACK(handle_resize) },
		{ "handle-get-backing-file", G_CALLBACK(handle_get_backing_file) },
		{ "handle-open-block-device", G_CALLBACK(handle_open_block_device) },
		{ "handle-register-buffer", G_CALLBACK(handle_register_buffer) },
		{ "handle-unregister-buffer", G_CALLBACK(handle_unregister_buffer) },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
		g_signal_connect(device->bus, all[i].signal, all[i].handler, device);
}
