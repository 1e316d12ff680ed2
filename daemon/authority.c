/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authority.h"

#include "daemon.h"

/* polkit's library says so of itself */
#define POLKIT_AGENT_I_KNOW_API_IS_SUBJECT_TO_CHANGE
#include <polkit/polkit.h>

typedef struct {
	char *sender, *action;
	uid_t uid;
	GVariant *details;
	gboolean interactive;      /* wanted */
	gboolean prompting;        /* this check holds one of the places for dialogs */
	GCancellable *cancellable; /* the request's */
	gulong handler;
	GCancellable *call; /* of the call under way */
	guint deadline;
	guint watch; /* while a dialog is open: the caller's leaving */
	AuthorityDone done;
	gpointer user_data;
	PolkitAuthority *authority;
} Check;

/*
 * How long polkit may take to answer without a dialog. A dialog is the user's to end, or its
 * caller's by leaving the bus.
 */
#define ANSWER_MS 20000

static GList *prompting; /* of Check */

static void check_end(Check *check, AuthorityAnswer answer, const char *reason)
{
	if (check->prompting)
		prompting = g_list_remove(prompting, check);
	g_clear_handle_id(&check->deadline, g_source_remove);
	g_clear_handle_id(&check->watch, g_bus_unwatch_name);
	if (check->cancellable)
		g_signal_handler_disconnect(check->cancellable, check->handler);
	check->done(answer, reason, check->user_data);
	g_clear_object(&check->authority);
	g_clear_object(&check->cancellable);
	g_clear_object(&check->call);
	g_clear_pointer(&check->details, g_variant_unref);
	g_free(check->sender);
	g_free(check->action);
	g_free(check);
}

static gboolean may_prompt(const Check *check)
{
	const Settings *limits = settings();
	guint sender = 0, user = 0, total = 0;

	for (GList *l = prompting; l; l = l->next) {
		const Check *other = l->data;

		total++;
		user += other->uid == check->uid;
		sender += g_str_equal(other->sender, check->sender);
	}
	return sender < limits->prompts_per_sender && user < limits->prompts_per_user &&
	       total < limits->prompts_total;
}

static void on_checked(GObject *source, GAsyncResult *result, gpointer user_data);

static void check_ask(Check *check)
{
	g_autoptr(PolkitSubject) subject = polkit_system_bus_name_new(check->sender);
	g_autoptr(PolkitDetails) details = polkit_details_new();
	GVariantIter iter;
	const char *key, *value;

	g_variant_iter_init(&iter, check->details);
	while (g_variant_iter_next(&iter, "{&s&s}", &key, &value))
		polkit_details_insert(details, key, value);
	polkit_authority_check_authorization(
		check->authority, subject, check->action, details,
		check->prompting ? POLKIT_CHECK_AUTHORIZATION_FLAGS_ALLOW_USER_INTERACTION
				 : POLKIT_CHECK_AUTHORIZATION_FLAGS_NONE,
		check->call, on_checked, check);
}

/* Nobody is left to want it: the dialog closes and its place is free. */
static void on_caller_left(GDBusConnection *connection, const char *name, gpointer user_data)
{
	Check *check = user_data;

	g_cancellable_cancel(check->call);
}

static void on_checked(GObject *source, GAsyncResult *result, gpointer user_data)
{
	Check *check = user_data;
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	g_autoptr(PolkitAuthorizationResult) answer = polkit_authority_check_authorization_finish(
		POLKIT_AUTHORITY(source), result, &error);

	if (!answer) {
		reason = g_strdup_printf("polkit cannot be asked: %s", error->message);
		check_end(check, AUTHORITY_NO, reason);
		return;
	}
	if (polkit_authorization_result_get_is_authorized(answer)) {
		check_end(check, check->prompting ? AUTHORITY_YES_BY_PROMPT : AUTHORITY_YES, NULL);
		return;
	}
	if (!polkit_authorization_result_get_is_challenge(answer)) {
		reason = g_strdup_printf("polkit does not allow %s to user %u", check->action,
					 check->uid);
		check_end(check, AUTHORITY_NO, reason);
		return;
	}
	/*
	 * It takes a password. The first question was put without a dialog, so that only calls that
	 * really need one take one of the places that there are for dialogs.
	 */
	if (check->interactive && !check->prompting && may_prompt(check)) {
		g_clear_handle_id(&check->deadline, g_source_remove);
		check->prompting = TRUE;
		prompting = g_list_prepend(prompting, check);
		check->watch = g_bus_watch_name_on_connection(bus(), check->sender,
							      G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
							      on_caller_left, check, NULL);
		check_ask(check);
		return;
	}
	reason = g_strdup_printf("%s takes an administrator's password%s", check->action,
				 !check->interactive ? ", which this call does not allow to ask for"
				 : check->prompting
					 ? ", and none was given"
					 : "; too many password dialogs are open already");
	check_end(check, AUTHORITY_CHALLENGE, reason);
}

static void on_authority(GObject *source, GAsyncResult *result, gpointer user_data)
{
	Check *check = user_data;
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;

	check->authority = polkit_authority_get_finish(result, &error);
	if (!check->authority) {
		reason = g_strdup_printf("polkit cannot be asked: %s", error->message);
		check_end(check, AUTHORITY_NO, reason);
		return;
	}
	check_ask(check);
}

static gboolean on_late(gpointer user_data)
{
	Check *check = user_data;

	check->deadline = 0;
	g_cancellable_cancel(check->call);
	return G_SOURCE_REMOVE;
}

static void on_cancelled(GCancellable *cancellable, gpointer user_data)
{
	Check *check = user_data;

	if (check->call)
		g_cancellable_cancel(check->call);
}

static void begin(Check *check)
{
	check->call = g_cancellable_new();
	check->deadline = g_timeout_add(ANSWER_MS, on_late, check);
	polkit_authority_get_async(check->call, on_authority, check);
}

static gboolean on_root(gpointer user_data)
{
	check_end(user_data, AUTHORITY_YES, NULL);
	return G_SOURCE_REMOVE;
}

static gboolean on_no_root(gpointer user_data)
{
	check_end(user_data, AUTHORITY_NO,
		  "user id 0 without CAP_SYS_ADMIN in the host's user namespace is not an "
		  "administrator");
	return G_SOURCE_REMOVE;
}

void authority_check(const Caller *caller, const char *action, GVariant *details,
		     gboolean interactive, GCancellable *cancellable, AuthorityDone done,
		     gpointer user_data)
{
	Check *check = g_new0(Check, 1);

	check->sender = g_strdup(caller->sender);
	check->action = g_strdup(action);
	check->uid = caller->uid;
	check->details = g_variant_ref_sink(details);
	check->interactive = interactive;
	if (cancellable) {
		check->cancellable = g_object_ref(cancellable);
		check->handler =
			g_signal_connect(cancellable, "cancelled", G_CALLBACK(on_cancelled), check);
	}
	check->done = done;
	check->user_data = user_data;
	if (caller->uid == 0)
		g_idle_add(caller->is_root ? on_root : on_no_root, check);
	else
		begin(check);
}
