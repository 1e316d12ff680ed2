/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "request.h"

#include <errno.h>

#include "accounts.h"
#include "audit.h"
#include "authority.h"
#include "daemon.h"
#include "descriptor.h"
#include "error.h"
#include "kernel.h"
#include "kernel/ublk-node.h"
#include "unread.h"

/*
 * Calls under way at once: of one connection to the bus, of one user, in all. An honest program has
 * a few; each costs memory and maybe a process, and nobody else's calls may suffer from a flood.
 * (Those that do not even get here: inbox.c.) The first call of a connection is always looked at:
 * whose it is, is not known before, and the many of one user are not to shut others out.
 */
#define MAX_PER_SENDER 64
#define MAX_PER_USER   128
#define MAX_TOTAL      1024

static GList *requests; /* all that are under way */

static void request_free(Request *request)
{
	requests = g_list_remove(requests, request);
	if (request->owes)
		unread_release(request->caller);
	descriptor_close_list_later(request->fds,
				    request->caller ? request->caller->uid : DESCRIPTOR_OF_NOBODY);
	g_clear_object(&request->fds);
	options_free(request->options);
	caller_free(request->caller);
	g_clear_pointer(&request->device, device_unref);
	g_clear_pointer(&request->dict, g_variant_unref);
	g_clear_pointer(&request->groups, g_array_unref);
	g_free(request->text);
	g_free(request->limit);
	g_free(request);
}

void request_return(Request *request, GVariant *value, GUnixFDList *fds)
{
	GDBusConnection *connection = g_dbus_method_invocation_get_connection(request->invocation);

	g_dbus_method_invocation_return_value_with_unix_fd_list(request->invocation, value, fds);
	/* the invocation is gone, the connection is the one that ublkd has */
	if (request->owes) {
		unread_note(request->caller, connection);
		request->owes = FALSE;
	}
	request_free(request);
}

static AuditCall describe_call(const Request *request)
{
	return (AuditCall){
		.caller = request->caller,
		.device = request->device,
		.object = g_dbus_method_invocation_get_object_path(request->invocation),
		.operation = request->method->operation,
		.action = request->action,
	};
}

void request_fail(Request *request, GError *error)
{
	/* what callers and servers said is quoted in messages, cut to a length in bytes */
	g_autofree char *message = g_utf8_make_valid(error->message, -1);
	AuditCall call = describe_call(request);

	audit_refused(&call, message);
	g_dbus_method_invocation_return_dbus_error(request->invocation, error_get_bus_name(error),
						   message);
	g_error_free(error);
	request_free(request);
}

static void add_detail(GVariantBuilder *details, const char *key, const char *value)
{
	g_variant_builder_add(details, "{ss}", key, value ? value : "");
}

static void add_number(GVariantBuilder *details, const char *key, guint64 value)
{
	char text[32];

	g_snprintf(text, sizeof(text), "%" G_GUINT64_FORMAT, value);
	add_detail(details, key, text);
}

GVariant *request_describe(const Request *request, const Device *device, guint64 size,
			   gboolean read_only)
{
	const Options *options = request->options;
	char node[UBLK_NODE_PATH_MAX] = "";
	GVariantBuilder details;

	if (device)
		ublk_node_path(UBLK_NODE_BLOCK, device->id, node);
	g_variant_builder_init(&details, G_VARIANT_TYPE("a{ss}"));
	add_detail(&details, "operation", request->method->operation);
	add_detail(&details, "target", device ? device->target : request->text);
	add_detail(&details, "name", device ? device->name : options->name);
	add_detail(&details, "device", node);
	add_detail(&details, "backing", device ? device->backing : options->file);
	if (size)
		add_number(&details, "size", size);
	else
		add_detail(&details, "size", "");
	add_number(&details, "owner", device ? device->uid : request->caller->uid);
	add_number(&details, "queues", device ? device->queues : options->queues);
	add_number(&details, "depth", device ? device->depth : options->depth);
	add_detail(&details, "read-only", read_only ? "true" : "false");
	add_detail(&details, "mount-namespace", request->caller->in_host_mounts ? "host" : "other");
	add_detail(&details, "user-namespace", request->caller->in_host_users ? "host" : "other");
	return g_variant_builder_end(&details);
}

/* What authorization the call needs. */
static gboolean choose_action(Request *request, GError **error)
{
	const Device *device = request->device;

	/* a method of the manager says it itself, from the arguments and the limits */
	if (!device)
		return request->method->check(request, error);
	request->action = device->uid == request->caller->uid ? UBLK_ACTION_MANAGE_OWN
							      : UBLK_ACTION_MANAGE_OTHERS;
	return TRUE;
}

/*
 * Everything is looked at (again) just before the act, since authorization takes time; a device's
 * state only now, since it is not for everybody to find out by trying.
 */
static void act(Request *request)
{
	const Device *device = request->device;
	GError *error = NULL;

	if (device && device_lookup(device->id) != device)
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
						  "device %u is gone", device->id));
	else if (device && request->options->created_at &&
		 request->options->created_at != (guint64)device->created_at)
		/* who has a right to all devices could be made to hit another user's */
		request_fail(request,
			     g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
					 "the device that was meant is gone; device %u is another "
					 "one by now",
					 device->id));
	else if (request->method->counts && !request->groups && settings_have_groups(settings()))
		/* they were read anew while somebody typed a password */
		request_fail(request,
			     g_error_new_literal(UBLK_ERROR, UBLK_ERROR_BUSY,
						 "the administrator has changed the settings "
						 "meanwhile; call again"));
	else if ((request->method->check && !request->method->check(request, &error)) ||
		 (request->method->gives && !unread_reserve(request->caller, &error)))
		request_fail(request, error);
	else {
		request->owes = request->method->gives;
		request->method->act(request);
	}
}

static void on_judged(int res, const void *buf, size_t len, void *user_data)
{
	Request *request = user_data;
	Device *device = request->device;

	/*
	 * An owner can take the right to the node away from itself (chmod 0), but not so keep an
	 * administrator from the device: what acts finds out itself whether it is the right one.
	 */
	if (res == -EACCES && request->caller->uid != device->uid)
		act(request);
	else if (res < 0)
		request_fail(request, error_from_kernel(res, "let the caller at the device"));
	else if (!device_matches(device, buf, len))
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
						  "device %u is another one by now", device->id));
	else
		act(request);
}

static void judge_as(Request *request, unsigned int personality)
{
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd =
		device_make_command(request->device, UBLK_U_CMD_GET_DEV_INFO2);
	GError *error = NULL;

	cmd.buf = &info;
	cmd.len = sizeof(info);
	cmd.personality = personality;
	if (!kernel_command(&cmd, NULL, on_judged, request, &error))
		request_fail(request, error);
}

static void on_creds(Creds *creds, const GError *error, gpointer user_data)
{
	Request *request = user_data;

	if (error) {
		request_fail(request, g_error_copy(error));
		return;
	}
	judge_as(request, creds_get_personality(creds));
	/* the kernel has taken the credentials with the command */
	creds_unref(creds);
}

/*
 * Let the kernel judge, before anything is done about a device: is the caller allowed at it, and is
 * it still the same one? For somebody else's device, which polkit has allowed to an administrator,
 * the question is put with the credentials that the device is held with: the owner could kill the
 * child that takes on new ones.
 */
static void judge(Request *request)
{
	const Caller *caller = request->caller;

	if (caller->uid == request->device->uid)
		creds_acquire(caller->uid, caller->gid, caller->groups, caller->n_groups, on_creds,
			      request);
	else
		judge_as(request, device_get_personality(request->device));
}

static void proceed(Request *request)
{
	/* a device that the kernel does not have (any more) has nothing to judge by */
	if (request->device && request->device->added && !request->device->teardown)
		judge(request);
	else
		act(request);
}

static void on_authorized(AuthorityAnswer answer, const char *reason, gpointer user_data)
{
	Request *request = user_data;
	AuditCall call = describe_call(request);

	if (answer == AUTHORITY_YES || answer == AUTHORITY_YES_BY_PROMPT) {
		audit_allowed(&call, answer == AUTHORITY_YES_BY_PROMPT ? "a password was typed"
				     : request->caller->is_root        ? "it is root's"
								       : "polkit says yes");
		request->prompted = answer == AUTHORITY_YES_BY_PROMPT;
		proceed(request);
	} else if (request->limit) {
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED, "%s; %s",
						  request->limit, reason));
	} else {
		request_fail(request,
			     g_error_new(UBLK_ERROR,
					 answer == AUTHORITY_CHALLENGE ? UBLK_ERROR_INTERACTIVE
								       : UBLK_ERROR_ACCESS_DENIED,
					 "not authorized to %s: %s", request->method->operation,
					 reason));
	}
}

gboolean request_is_interactive(const Request *request)
{
	GDBusMessage *message = g_dbus_method_invocation_get_message(request->invocation);

	return (g_dbus_message_get_flags(message) &
		G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION) != 0;
}

uid_t request_get_user(const Request *request)
{
	if (request->device)
		return request->device->uid;
	return request->options->has_owner ? request->options->owner : request->caller->uid;
}

UserLimits request_get_limits(const Request *request)
{
	return settings_get_limits(settings(), request_get_user(request), request->groups);
}

static void authorize(Request *request)
{
	GError *error = NULL;

	if (!choose_action(request, &error))
		request_fail(request, error);
	else if (!request->action)
		proceed(request);
	else
		authority_check(request->caller, request->action,
				request_describe(request, request->device,
						 request->size ? request->size
							       : request->options->limits.size,
						 request->options->limits.read_only),
				request_is_interactive(request), NULL, on_authorized, request);
}

static void on_groups(GArray *groups, const GError *error, gpointer user_data)
{
	Request *request = user_data;

	if (error) {
		request_fail(request, g_error_copy(error));
		return;
	}
	request->groups = groups;
	authorize(request);
}

static void on_identified(Caller *caller, const GError *error, gpointer user_data)
{
	Request *request = user_data;
	GError *local = NULL;
	guint of_user = 0;

	if (!caller) {
		request_fail(request, g_error_copy(error));
		return;
	}
	request->caller = caller;
	for (GList *l = requests; l; l = l->next) {
		const Request *other = l->data;

		of_user += other->caller && other->caller->uid == caller->uid;
	}
	if (of_user > MAX_PER_USER) {
		request_fail(request, g_error_new(UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
						  "user %u has more than %d calls under way",
						  caller->uid, MAX_PER_USER));
		return;
	}
	request->options = options_parse(request->method->options, request->dict, request->fds,
					 caller->uid, &local);
	/* what was wanted of it is duplicated */
	descriptor_close_list_later(request->fds, caller->uid);
	if (!request->options)
		request_fail(request, local);
	else if (request->method->counts && request->options->has_owner &&
		 request->options->owner != caller->uid && !caller->is_root)
		/* each may be a question to the user database, behind which others wait */
		request_fail(request, g_error_new_literal(UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
							  "only root may ask for another user's "
							  "limits"));
	else if (request->method->counts && settings_have_groups(settings()))
		/*
		 * By the database, not by what the process says: who is in a group that may have
		 * less could leave it, as in every rootless container.
		 */
		accounts_ask_groups(request_get_user(request), on_groups, request);
	else
		authorize(request);
}

gboolean request_begin(const RequestMethod *method, GDBusMethodInvocation *invocation,
		       Device *device, GVariant *dict, const char *text, guint64 size)
{
	const char *sender = g_dbus_method_invocation_get_sender(invocation);
	GDBusMessage *message = g_dbus_method_invocation_get_message(invocation);
	GUnixFDList *fds = g_dbus_message_get_unix_fd_list(message);
	Request *request = g_new0(Request, 1);
	guint total = 0, of_sender = 0;

	request->method = method;
	request->invocation = invocation;
	request->device = device ? device_ref(device) : NULL;
	request->dict = g_variant_ref(dict);
	request->fds = fds ? g_object_ref(fds) : NULL;
	request->text = g_strdup(text);
	request->size = size;
	requests = g_list_prepend(requests, request);
	for (GList *l = requests; l; l = l->next) {
		const Request *other = l->data;

		total++;
		of_sender +=
			g_str_equal(g_dbus_method_invocation_get_sender(other->invocation), sender);
	}
	if (of_sender > MAX_PER_SENDER || (total > MAX_TOTAL && of_sender > 1))
		request_fail(request, g_error_new_literal(UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
							  "too many calls are under way"));
	else
		caller_identify(sender, on_identified, request);
	return TRUE;
}
