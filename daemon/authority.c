/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authority.h"

#include "daemon.h"
#include "ublk-dbus.h"

/*
 * polkit is asked by its interface on the bus. Its library looks for it first, with a lock held for
 * which the next caller waits: with a polkit that does not answer that kept the main loop, and so
 * everybody, for 25 seconds.
 */
#define POLKIT       "org.freedesktop.PolicyKit1"
#define POLKIT_PATH  "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_IFACE "org.freedesktop.PolicyKit1.Authority"

/* Flag of CheckAuthorization. */
#define ALLOW_USER_INTERACTION 1

typedef struct {
	char *sender, *action;
	uid_t uid;
	GVariant *details;
	gboolean interactive;      /* wanted */
	gboolean asking;           /* this check is one of those that polkit has */
	gboolean prompting;        /* this check holds one of the places for dialogs */
	gint64 prompting_since;    /* monotonic */
	gboolean displaced;        /* it has lost that place to somebody else */
	GCancellable *cancellable; /* the request's */
	gulong handler;
	GCancellable *call; /* of the call under way */
	guint deadline;
	gboolean asked, late; /* it was put to polkit; its deadline has passed */
	guint watch;          /* while a dialog is open: the caller's leaving */
	AuthorityDone done;
	gpointer user_data;
	char *id; /* by which the question can be taken back */
} Check;

/*
 * How long polkit may take to answer without a dialog. A dialog is the user's to end, or its
 * caller's by leaving the bus, unless somebody else needs its place.
 */
#define ANSWER_MS 20000
/* And how long a question waits for others of the same user, before it is put to polkit at all. */
#define QUEUE_MS 30000

/*
 * How many questions of one user polkit has at once. It answers one after the other, and the bus
 * gives ublkd 128 answers to wait for: one user's calls shall not be all of them.
 */
#define MAX_ASKING_PER_USER 1
/* And of all: who has subordinate ids is many users. */
#define MAX_ASKING 64

static GList *asking, *prompting;    /* of Check; the newest first */
static GQueue queued = G_QUEUE_INIT; /* of Check: those that cannot be asked yet */

static gboolean may_ask(const Check *check)
{
	guint n = 0;

	for (GList *l = asking; l; l = l->next) {
		const Check *other = l->data;

		n += other->uid == check->uid;
	}
	return n < MAX_ASKING_PER_USER && g_list_length(asking) < MAX_ASKING;
}

static void check_begin(Check *check);

/* It is not polkit's (for now): somebody else's turn. */
static void stop_asking(Check *check)
{
	if (!check->asking)
		return;
	check->asking = FALSE;
	asking = g_list_remove(asking, check);
	for (GList *l = queued.head; l; l = l->next) {
		Check *next = l->data;

		if (may_ask(next)) {
			g_queue_delete_link(&queued, l);
			check_begin(next);
			return;
		}
	}
}

static void check_end(Check *check, AuthorityAnswer answer, const char *reason)
{
	if (check->prompting)
		prompting = g_list_remove(prompting, check);
	stop_asking(check);
	g_clear_handle_id(&check->deadline, g_source_remove);
	g_clear_handle_id(&check->watch, g_bus_unwatch_name);
	if (check->cancellable)
		g_signal_handler_disconnect(check->cancellable, check->handler);
	check->done(answer, reason, check->user_data);
	g_clear_object(&check->cancellable);
	g_clear_object(&check->call);
	g_clear_pointer(&check->details, g_variant_unref);
	g_free(check->sender);
	g_free(check->action);
	g_free(check->id);
	g_free(check);
}

/* It ends as soon as the main loop gets to it; its place is free now. */
static void displace(Check *check)
{
	prompting = g_list_remove(prompting, check);
	check->displaced = TRUE;
	g_cancellable_cancel(check->call);
}

/*
 * Dialogs that nobody answers would keep all places for ever: with a silent agent each of four
 * users is enough. So one that is old gives way, but not to a user who has one already: then that
 * user's calls would push out everybody else's.
 */
static gboolean make_room(void)
{
	GList *last = g_list_last(prompting);
	Check *oldest = last ? last->data : NULL;

	if (!oldest ||
	    g_get_monotonic_time() - oldest->prompting_since < settings()->prompt_ms * (gint64)1000)
		return FALSE;
	displace(oldest);
	return TRUE;
}

/* There is a place for its dialog when this returns, or FALSE. */
static gboolean find_place(const Check *check)
{
	const Settings *limits = settings();
	guint sender = 0, user = 0, total = 0;

	for (GList *l = prompting; l; l = l->next) {
		const Check *other = l->data;

		total++;
		user += other->uid == check->uid;
		sender += g_str_equal(other->sender, check->sender);
	}
	if (sender >= limits->prompts_per_sender || user >= limits->prompts_per_user)
		return FALSE;
	if (total < limits->prompts_total)
		return TRUE;
	/* there are more than that when the administrator has changed the number */
	return user == 0 && make_room() && total == limits->prompts_total;
}

/* No answer is a no. */
static void end_unasked(Check *check, const GError *error)
{
	g_autofree char *reason =
		!check->late ? g_strdup_printf("polkit cannot be asked: %s", error->message)
		: check->asked
			? g_strdup_printf("polkit has not answered in %d seconds; nobody but "
					  "root is allowed anything without it",
					  ANSWER_MS / 1000)
			: g_strdup_printf("polkit has not answered the questions before this one "
					  "in %d seconds",
					  QUEUE_MS / 1000);

	check_end(check, AUTHORITY_NO, reason);
}

static void on_checked(GObject *source, GAsyncResult *result, gpointer user_data);

static void check_ask(Check *check)
{
	static guint64 asked;
	GVariantBuilder subject;

	g_free(check->id);
	check->id = g_strdup_printf("ublkd-%" G_GUINT64_FORMAT, ++asked);
	g_variant_builder_init(&subject, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&subject, "{sv}", "name", g_variant_new_string(check->sender));
	/* no time limit: there is ANSWER_MS, and a dialog has none */
	g_dbus_connection_call(bus(), POLKIT, POLKIT_PATH, POLKIT_IFACE, "CheckAuthorization",
			       g_variant_new("((sa{sv})s@a{ss}us)", "system-bus-name", &subject,
					     check->action, check->details,
					     check->prompting ? ALLOW_USER_INTERACTION : 0,
					     check->id),
			       G_VARIANT_TYPE("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE, G_MAXINT,
			       check->call, on_checked, check);
}

/* polkit works on, and shows its dialog, until it is told. */
static void take_back(const Check *check)
{
	g_dbus_connection_call(bus(), POLKIT, POLKIT_PATH, POLKIT_IFACE, "CancelCheckAuthorization",
			       g_variant_new("(s)", check->id), NULL,
			       G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, NULL, NULL);
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
	g_autoptr(GVariant)
		answer = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
	gboolean is_authorized, is_challenge;

	if (!answer) {
		/* its dialog closes */
		if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
			take_back(check);
		if (check->displaced) {
			reason = g_strdup_printf("%s takes an administrator's password, and none "
						 "was given in %u seconds: somebody else needed "
						 "the place of the dialog",
						 check->action, settings()->prompt_ms / 1000);
			check_end(check, AUTHORITY_CHALLENGE, reason);
			return;
		}
		g_dbus_error_strip_remote_error(error);
		end_unasked(check, error);
		return;
	}
	g_variant_get(answer, "((bba{ss}))", &is_authorized, &is_challenge, NULL);
	if (is_authorized) {
		check_end(check, check->prompting ? AUTHORITY_YES_BY_PROMPT : AUTHORITY_YES, NULL);
		return;
	}
	if (!is_challenge) {
		reason = check->prompting
				 ? g_strdup_printf("%s takes an administrator's password, and the "
						   "one that was given is wrong",
						   check->action)
				 : g_strdup_printf("polkit does not allow %s to user %u",
						   check->action, check->uid);
		check_end(check, AUTHORITY_NO, reason);
		return;
	}
	/*
	 * It takes a password. The first question was put without a dialog, so that only calls that
	 * really need one take one of the places that there are for dialogs.
	 */
	if (check->interactive && !check->prompting && find_place(check)) {
		g_clear_handle_id(&check->deadline, g_source_remove);
		/* the agent has it, for as long as its user likes */
		stop_asking(check);
		check->prompting = TRUE;
		check->prompting_since = g_get_monotonic_time();
		prompting = g_list_prepend(prompting, check);
		check->watch = g_bus_watch_name_on_connection(bus(), check->sender,
							      G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
							      on_caller_left, check, NULL);
		check_ask(check);
		return;
	}
	reason = g_strdup_printf("%s takes an administrator's password%s", check->action,
				 !check->interactive ? ", " UBLK_BUS_TEXT_MAY_NOT_ASK
				 : check->prompting
					 ? ", and none was given"
					 : "; too many password dialogs are open already");
	check_end(check, AUTHORITY_CHALLENGE, reason);
}

static gboolean on_late(gpointer user_data)
{
	Check *check = user_data;

	check->deadline = 0;
	check->late = TRUE;
	if (g_queue_remove(&queued, check))
		end_unasked(check, NULL);
	else
		g_cancellable_cancel(check->call);
	return G_SOURCE_REMOVE;
}

static void check_begin(Check *check)
{
	check->asking = check->asked = TRUE;
	asking = g_list_prepend(asking, check);
	g_clear_handle_id(&check->deadline, g_source_remove);
	check->deadline = g_timeout_add(ANSWER_MS, on_late, check);
	check_ask(check);
}

static gboolean on_not_wanted(gpointer user_data)
{
	g_autoptr(GError) error =
		g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "nobody wants it any more");

	end_unasked(user_data, error);
	return G_SOURCE_REMOVE;
}

static void on_cancelled(GCancellable *cancellable, gpointer user_data)
{
	Check *check = user_data;

	if (g_queue_remove(&queued, check)) {
		g_clear_handle_id(&check->deadline, g_source_remove);
		g_idle_add(on_not_wanted, check);
	} else if (check->call) {
		g_cancellable_cancel(check->call);
	}
}

static void begin(Check *check)
{
	check->call = g_cancellable_new();
	if (may_ask(check)) {
		check_begin(check);
		return;
	}
	check->deadline = g_timeout_add(QUEUE_MS, on_late, check);
	g_queue_push_tail(&queued, check);
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
