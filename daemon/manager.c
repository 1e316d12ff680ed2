/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include "config.h"
#include "daemon.h"
#include "ended.h"
#include "error.h"
#include "kernel.h"
#include "kernel/ublk-features.h"
#include "quota.h"
#include "make.h"
#include "journal.h"
#include "reload.h"
#include "request.h"

static UblkBusManager *manager;

static const struct target {
	const char *name;
	gboolean needs_file;
} targets[] = {
#define TARGET(name, needs_file, what) { name, needs_file },
	UBLK_TARGETS(TARGET)
#undef TARGET
};

static const struct target *find_target(const char *name, GError **error)
{
	g_autoptr(GString) known = g_string_new(NULL);

	for (gsize i = 0; i < G_N_ELEMENTS(targets); i++) {
		if (g_str_equal(targets[i].name, name))
			return &targets[i];
		g_string_append_printf(known, "%s\"%s\"", i > 0 ? " and " : "", targets[i].name);
	}
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
		    "there is no target \"%.50s\"; there are %s", name, known->str);
	return NULL;
}

/* What of an AddDevice can be judged without doing anything. */
static gboolean check_target(const Request *request, GError **error)
{
	const Options *options = request->options;
	const struct target *target = find_target(request->text, error);
	gboolean has_file = options->file || options->file_fd >= 0;
	guint32 block_size = MAX(options->limits.logical_block_size, 512);

	if (!target)
		return FALSE;
	if (target->needs_file && !has_file)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			    "target \"%s\" needs option \"file\"", target->name);
	else if (!target->needs_file && has_file)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			    "target \"%s\" takes no option \"file\"", target->name);
	else if (!target->needs_file && !options->limits.size)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			    "target \"%s\" needs option \"size\"", target->name);
	else if (options->limits.size % block_size)
		g_set_error(
			error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			"option \"size\" must be a multiple of the logical block size, %u bytes",
			block_size);
	else if (!request->caller->in_host_mounts)
		g_set_error_literal(
			error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
			"the caller lives in another mount namespace than the host (a container?), "
			"where a path may mean another file: run the server there, with "
			"\"ublk-client serve\" or CreateDevice and Start");
	else
		return TRUE;
	return FALSE;
}

static gboolean check_creation(Request *request, GError **error)
{
	const Options *options = request->options;
	UserLimits limits = request_get_limits(request);
	gboolean beyond = FALSE;

	if (!kernel_get(error))
		return FALSE;
	if (options->shared_memory == OPTION_TRUE && !(kernel_get_features() & UBLK_F_SHMEM_ZC)) {
		g_set_error_literal(error, UBLK_ERROR, UBLK_ERROR_NOT_SUPPORTED,
				    "this kernel's ublk driver has no shared memory (feature "
				    "\"shmem-zc\", Linux 7.1): leave out option "
				    "\"" UBLK_OPT_SHARED_MEMORY "\"");
		return FALSE;
	}
	/* the driver would then tell the server neither the data nor where it is */
	if (options->shared_memory == OPTION_TRUE && options->need_get_data == OPTION_TRUE) {
		g_set_error_literal(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
				    "options \"" UBLK_OPT_SHARED_MEMORY
				    "\" and \"" UBLK_OPT_NEED_GET_DATA "\" exclude each other");
		return FALSE;
	}
	if (options->name && device_find(request->caller->uid, options->name)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_EXISTS,
			    "you have a device named \"%s\" already", options->name);
		return FALSE;
	}
	if (options->id != UBLK_DEV_ID_ANY && device_lookup(options->id)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_EXISTS, "device number %u is taken",
			    options->id);
		return FALSE;
	}
	g_clear_pointer(&request->limit, g_free);
	if (!quota_check(request->caller->uid, &limits, options->queues, options->depth, &beyond,
			 &request->limit, error))
		return FALSE;
	if (beyond && g_strcmp0(request->action, UBLK_ACTION_CREATE) == 0) {
		/* the weaker action was granted, and others of this user's have come in between */
		g_set_error_literal(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED, request->limit);
		return FALSE;
	}
	if (!request->action)
		request->action = beyond ? UBLK_ACTION_CREATE_BEYOND : UBLK_ACTION_CREATE;
	return TRUE;
}

static gboolean check_add(Request *request, GError **error)
{
	return check_target(request, error) && check_creation(request, error);
}

static gboolean check_lookup(Request *request, GError **error)
{
	return TRUE; /* needs no authorization: everybody may list */
}

static void act_lookup(Request *request)
{
	uid_t uid = request->options->has_owner ? request->options->owner : request->caller->uid;
	Device *device = device_find(uid, request->text);

	if (device && device->object)
		request_return(request,
			       g_variant_new("(o)", g_dbus_object_get_object_path(
							    G_DBUS_OBJECT(device->object))),
			       NULL);
	else
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
						  "user %u has no device named \"%.100s\"", uid,
						  request->text));
}

static void act_get_limits(Request *request)
{
	UserLimits limits = request_get_limits(request);
	guint devices_total;
	UserLimits use = quota_get_use(request_get_user(request), &limits, &devices_total);

	request_return(request,
		       g_variant_new("(@a{sv}@a{sv})",
				     settings_describe_user(&limits, settings()->devices_total),
				     settings_describe_user(&use, devices_total)),
		       NULL);
}

static void act_get_counters(Request *request)
{
	request_return(request, g_variant_new("(@a{st})", journal_describe_counts()), NULL);
}

static void act_get_ended(Request *request)
{
	request_return(request,
		       g_variant_new("(@aa{sv})", ended_describe(request_get_user(request))), NULL);
}

static gboolean check_reload(Request *request, GError **error)
{
	request->action = UBLK_ACTION_RELOAD;
	return TRUE;
}

static void on_reloaded(const GError *error, gpointer user_data)
{
	Request *request = user_data;

	if (error)
		request_fail(request, g_error_copy(error));
	else
		request_return(request, NULL, NULL);
}

static void act_reload(Request *request)
{
	reload_begin(on_reloaded, request);
}

static const RequestMethod method_add = { "create", OPTIONS_ADD, check_add, make_add,
					  .counts = TRUE };
static const RequestMethod method_create = { "create",    OPTIONS_CREATE, check_creation,
					     make_create, .counts = TRUE, .gives = TRUE };
static const RequestMethod method_get_limits = { "tell the limits", OPTIONS_LOOKUP, check_lookup,
						 act_get_limits, .counts = TRUE };
static const RequestMethod method_get_counters = { "tell the counters", OPTIONS_MANAGER,
						   check_lookup, act_get_counters };
static const RequestMethod method_get_ended = { "tell what has ended", OPTIONS_LOOKUP, check_lookup,
						act_get_ended };
static const RequestMethod method_reload = { "reload the settings", OPTIONS_MANAGER, check_reload,
					     act_reload };
static const RequestMethod method_lookup = { "look up", OPTIONS_LOOKUP, check_lookup, act_lookup };

static gboolean handle_add_device(UblkBusManager *object, GDBusMethodInvocation *invocation,
				  GUnixFDList *fds, const char *target, GVariant *options,
				  gpointer unused)
{
	return request_begin(&method_add, invocation, NULL, options, target, 0);
}

static gboolean handle_create_device(UblkBusManager *object, GDBusMethodInvocation *invocation,
				     GUnixFDList *fds, GVariant *options, gpointer unused)
{
	return request_begin(&method_create, invocation, NULL, options, NULL, 0);
}

static gboolean handle_get_device_by_name(UblkBusManager *object, GDBusMethodInvocation *invocation,
					  const char *name, GVariant *options, gpointer unused)
{
	return request_begin(&method_lookup, invocation, NULL, options, name, 0);
}

static gboolean handle_get_limits(UblkBusManager *object, GDBusMethodInvocation *invocation,
				  GVariant *options, gpointer unused)
{
	return request_begin(&method_get_limits, invocation, NULL, options, NULL, 0);
}

static gboolean handle_get_counters(UblkBusManager *object, GDBusMethodInvocation *invocation,
				    GVariant *options, gpointer unused)
{
	return request_begin(&method_get_counters, invocation, NULL, options, NULL, 0);
}

static gboolean handle_get_ended(UblkBusManager *object, GDBusMethodInvocation *invocation,
				 GVariant *options, gpointer unused)
{
	return request_begin(&method_get_ended, invocation, NULL, options, NULL, 0);
}

static gboolean handle_reload(UblkBusManager *object, GDBusMethodInvocation *invocation,
			      GVariant *options, gpointer unused)
{
	return request_begin(&method_reload, invocation, NULL, options, NULL, 0);
}

static void set_features(void)
{
	static const char *const fates[] = {
		[UBLK_FEATURE_ALLOWED] = "allowed",
		[UBLK_FEATURE_IMPLIED] = "implied",
		[UBLK_FEATURE_REFUSED] = "refused",
		[UBLK_FEATURE_CLEARED] = "cleared",
	};
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	guint64 present = kernel_get_features();
	const struct ublk_feature *features;
	GVariantBuilder table;
	size_t n;

	g_variant_builder_init(&table, G_VARIANT_TYPE("a(ssss)"));
	features = ublk_features(&n);
	for (size_t i = 0; i < n; i++) {
		const struct ublk_feature *feature = &features[i];

		if (present & feature->flag)
			g_ptr_array_add(names, (gpointer)feature->name);
		g_variant_builder_add(&table, "(ssss)", feature->name, feature->since,
				      fates[feature->unprivileged], feature->why);
	}
	g_ptr_array_add(names, NULL);
	ublk_bus_manager_set_kernel_features(manager, (const char *const *)names->pdata);
	ublk_bus_manager_set_feature_table(manager, g_variant_builder_end(&table));
}

void manager_tell_limits(void)
{
	if (!manager)
		return;
	ublk_bus_manager_set_limits(manager, settings_describe(settings()));
	/* who gets the answer to Reload and then reads the property finds the new ones */
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(manager));
}

void manager_export(GDBusObjectManagerServer *objects)
{
	g_autoptr(UblkBusObjectSkeleton)
		object = ublk_bus_object_skeleton_new(UBLK_BUS_MANAGER_PATH);

	manager = ublk_bus_manager_skeleton_new();
	ublk_bus_manager_set_version(manager, UBLKD_VERSION);
	manager_tell_limits();
	set_features();
	g_signal_connect(manager, "handle-add-device", G_CALLBACK(handle_add_device), NULL);
	g_signal_connect(manager, "handle-create-device", G_CALLBACK(handle_create_device), NULL);
	g_signal_connect(manager, "handle-get-device-by-name",
			 G_CALLBACK(handle_get_device_by_name), NULL);
	g_signal_connect(manager, "handle-get-ended", G_CALLBACK(handle_get_ended), NULL);
	g_signal_connect(manager, "handle-get-limits", G_CALLBACK(handle_get_limits), NULL);
	g_signal_connect(manager, "handle-get-counters", G_CALLBACK(handle_get_counters), NULL);
	g_signal_connect(manager, "handle-reload", G_CALLBACK(handle_reload), NULL);
	ublk_bus_object_skeleton_set_manager(object, manager);
	g_dbus_object_manager_server_export(objects, G_DBUS_OBJECT_SKELETON(object));
}
