/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Password dialogs have so many places; one that nobody answers does not keep its for ever. */
#include <string.h>

#include "daemon/authority.h"
#include "daemon/daemon.h"

/* Two places, of which a user may have both. */
static Settings the = { .prompts_per_sender = 1, .prompts_per_user = 2, .prompts_total = 2 };

const Settings *settings(void)
{
	return &the;
}

GDBusConnection *bus(void)
{
	return NULL;
}

/* ---- polkit: everything takes a password, and dialogs stay open until they are answered ---- */

static GList *dialogs; /* of GTask */
static guint taken_back;

static void on_given_up(GCancellable *cancellable, gpointer task)
{
	dialogs = g_list_remove(dialogs, task);
	g_task_return_error_if_cancelled(task);
	g_object_unref(task);
}

static void answer(GTask *task, gboolean is_authorized)
{
	g_task_return_pointer(
		task,
		g_variant_ref_sink(g_variant_new_parsed("((%b, true, @a{ss} {}),)", is_authorized)),
		(GDestroyNotify)g_variant_unref);
	g_object_unref(task);
}

/* In place of GLib's. */
void g_dbus_connection_call(GDBusConnection *connection, const char *name, const char *path,
			    const char *interface, const char *method, GVariant *parameters,
			    const GVariantType *type, GDBusCallFlags flags, int timeout,
			    GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
	g_autoptr(GVariant) asked = g_variant_ref_sink(parameters);
	g_autoptr(GVariant) with_dialog = NULL;
	GTask *task;

	if (g_str_equal(method, "CancelCheckAuthorization")) {
		taken_back++;
		return;
	}
	task = g_task_new(NULL, cancellable, callback, data);
	with_dialog = g_variant_get_child_value(asked, 3);
	if (!g_variant_get_uint32(with_dialog)) {
		answer(task, FALSE);
		return;
	}
	dialogs = g_list_append(dialogs, task);
	g_signal_connect(cancellable, "cancelled", G_CALLBACK(on_given_up), task);
}

GVariant *g_dbus_connection_call_finish(GDBusConnection *connection, GAsyncResult *result,
					GError **error)
{
	return g_task_propagate_pointer(G_TASK(result), error);
}

guint g_bus_watch_name_on_connection(GDBusConnection *connection, const char *name,
				     GBusNameWatcherFlags flags, GBusNameAppearedCallback appeared,
				     GBusNameVanishedCallback vanished, gpointer data,
				     GDestroyNotify destroy)
{
	return 1;
}

void g_bus_unwatch_name(guint id)
{
}

/* Somebody types the right password, in the oldest dialog. */
static void type_password(void)
{
	GTask *task = dialogs->data;

	g_signal_handlers_disconnect_by_func(g_task_get_cancellable(task), on_given_up, task);
	dialogs = g_list_remove(dialogs, task);
	answer(task, TRUE);
}

/* ---- callers ---- */

typedef struct {
	gboolean is_done;
	AuthorityAnswer answer;
	char *reason;
} Outcome;

static void on_done(AuthorityAnswer answer, const char *reason, gpointer user_data)
{
	Outcome *outcome = user_data;

	g_assert_false(outcome->is_done);
	*outcome = (Outcome){ TRUE, answer, g_strdup(reason) };
}

static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void ask(Outcome *outcome, const char *sender, uid_t uid)
{
	const Caller caller = { .sender = (char *)sender, .uid = uid };

	*outcome = (Outcome){ 0 };
	authority_check(&caller, "org.ublk1.create", g_variant_new("a{ss}", NULL), TRUE, NULL,
			on_done, outcome);
	settle();
}

static void assert_refused(Outcome *outcome, const char *reason)
{
	settle();
	g_assert_true(outcome->is_done);
	g_assert_cmpint(outcome->answer, ==, AUTHORITY_CHALLENGE);
	g_assert_nonnull(strstr(outcome->reason, reason));
	g_clear_pointer(&outcome->reason, g_free);
}

static void gives_an_old_place_to_others(void)
{
	Outcome first, second, third;

	the.prompt_ms = G_MAXINT;
	ask(&first, ":1.1", 1001);
	ask(&second, ":1.2", 1002);
	g_assert_cmpuint(g_list_length(dialogs), ==, 2);
	/* none of them is old yet */
	ask(&third, ":1.3", 1003);
	assert_refused(&third, "too many password dialogs are open");

	the.prompt_ms = 1;
	g_usleep(2000);
	/* a user who has a dialog gets no other one's place */
	ask(&third, ":1.4", 1002);
	assert_refused(&third, "too many password dialogs are open");
	g_assert_cmpuint(taken_back, ==, 0);
	/* who has none does: the oldest's */
	ask(&third, ":1.3", 1003);
	assert_refused(&first, "somebody else needed the place");
	g_assert_cmpuint(taken_back, ==, 1);
	g_assert_cmpuint(g_list_length(dialogs), ==, 2);
	g_assert_false(second.is_done);
	g_assert_false(third.is_done);

	/* the others go on, and their places can be had again */
	type_password();
	type_password();
	settle();
	g_assert_cmpint(second.answer, ==, AUTHORITY_YES_BY_PROMPT);
	g_assert_cmpint(third.answer, ==, AUTHORITY_YES_BY_PROMPT);
	ask(&first, ":1.1", 1001);
	type_password();
	settle();
	g_assert_cmpint(first.answer, ==, AUTHORITY_YES_BY_PROMPT);
	g_assert_cmpuint(taken_back, ==, 1);
}

/* Nor are they more than an administrator allows meanwhile. */
static void keeps_to_a_smaller_number(void)
{
	Outcome first, second, third;

	the.prompt_ms = 1;
	ask(&first, ":2.1", 1001);
	ask(&second, ":2.2", 1002);
	the.prompts_total = 1;
	g_usleep(2000);
	ask(&third, ":2.3", 1003);
	assert_refused(&third, "too many password dialogs are open");
	assert_refused(&first, "somebody else needed the place");
	g_assert_false(second.is_done);
	ask(&third, ":2.3", 1003);
	assert_refused(&second, "somebody else needed the place");
	g_assert_cmpuint(g_list_length(dialogs), ==, 1);
	type_password();
	settle();
	g_assert_cmpint(third.answer, ==, AUTHORITY_YES_BY_PROMPT);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/authority/gives-an-old-place-to-others", gives_an_old_place_to_others);
	g_test_add_func("/authority/keeps-to-a-smaller-number", keeps_to_a_smaller_number);
	return g_test_run();
}
