/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reload.h"

#include <gio/gio.h>

#include "error.h"
#include "journal.h"
#include "manager.h"
#include "turns.h"

/* How long until the user database is asked again that did not answer when ublkd started. */
#define RETRY_SECONDS 30

typedef struct {
	ReloadDone done;
	gpointer user_data;
} Waiter;

static const char *conf;
static Settings *in_force;

static guint retry;                /* source */
static gboolean running, retrying; /* a reading; one of on_retry()'s */
static GPtrArray *known;           /* of char *: what was wrong at the last reading */
static GPtrArray *at_start;        /* and at the first one */
/*
 * Who is told when the present reading is over, and who came too late for it: the file may have
 * been read before it was changed.
 */
static GArray *waiting, *next; /* of Waiter */

static gboolean has(GPtrArray *problems, const char *problem)
{
	return g_ptr_array_find_with_equal_func(problems, problem, g_str_equal, NULL);
}

/* With `only_new` not what the last reading has brought already. */
static void tell(GPtrArray *problems, gboolean only_new)
{
	for (guint i = 0; i < problems->len; i++) {
		const char *problem = g_ptr_array_index(problems, i);

		if (!only_new || !has(known, problem))
			journal_tell(JOURNAL_MISTAKE, &(JournalAbout){ 0 }, "%s", problem);
	}
	g_clear_pointer(&known, g_ptr_array_unref);
	known = g_ptr_array_ref(problems);
}

/* Settings are in force that have mistakes in them. */
static void warn_of(const GPtrArray *problems)
{
	if (problems->len)
		g_warning("%u mistakes in the settings: what they were to set is as if it were not "
			  "there, but a limit of a [user] or [group] counts as 0",
			  problems->len);
}

static void start(void);

/*
 * Until a reading is taken, somebody else's too. What counts is whether the database has told by
 * now: a mistake that was no hindrance to the start must not keep a stricter section out.
 */
static gboolean on_retry(gpointer unused)
{
	if (!running) {
		retrying = TRUE;
		start();
	}
	return G_SOURCE_CONTINUE;
}

void reload_init(const char *path, Settings *settings)
{
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);

	conf = path;
	in_force = settings;
	waiting = g_array_new(FALSE, FALSE, sizeof(Waiter));
	next = g_array_new(FALSE, FALSE, sizeof(Waiter));
	settings_load(path, settings, problems);
	tell(problems, FALSE);
	at_start = g_ptr_array_ref(problems);
	warn_of(problems);
	if (settings->unsure)
		retry = g_timeout_add_seconds(RETRY_SECONDS, on_retry, NULL);
}

/* What a reading has brought. */
typedef struct {
	Settings settings;
	GPtrArray *problems;
} Reading;

static void reading_free(Reading *reading)
{
	settings_clear(&reading->settings);
	g_ptr_array_unref(reading->problems);
	g_free(reading);
}

static void run(GTask *task, gpointer source, gpointer user_data, GCancellable *cancellable)
{
	Reading *reading = g_new0(Reading, 1);

	reading->problems = g_ptr_array_new_with_free_func(g_free);
	settings_load(conf, &reading->settings, reading->problems);
	g_task_return_pointer(task, reading, (GDestroyNotify)reading_free);
}

/*
 * One that was asked for, if nothing is wrong. A retry, if the user database has told, and nothing
 * is wrong that was not at the start: then the file is another one, which nobody has asked for yet,
 * or could not be read, or the database is not quite there.
 */
static gboolean may_take(const Reading *reading)
{
	if (!retrying)
		return reading->problems->len == 0;
	for (guint i = 0; i < reading->problems->len; i++)
		if (!has(at_start, g_ptr_array_index(reading->problems, i)))
			return FALSE;
	return !reading->settings.unsure;
}

static GError *take(Reading *reading)
{
	GPtrArray *problems = reading->problems;
	Settings before = *in_force;

	tell(problems, retrying);
	if (!may_take(reading))
		return g_error_new(UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
				   "%s%s; the settings stay as they were",
				   (const char *)g_ptr_array_index(problems, 0),
				   problems->len > 1 ? ", and more (see the journal)" : "");
	*in_force = reading->settings;
	reading->settings = before;
	g_clear_handle_id(&retry, g_source_remove);
	turns_set_interval(G_USEC_PER_SEC / (gint64)in_force->calls_per_second);
	manager_tell_limits();
	journal_tell(JOURNAL_RELOADED, &(JournalAbout){ 0 }, "the settings were read anew");
	warn_of(problems);
	return NULL;
}

static void on_read(GObject *source, GAsyncResult *result, gpointer unused)
{
	Reading *reading = g_task_propagate_pointer(G_TASK(result), NULL);
	g_autoptr(GError) error = take(reading);
	g_autoptr(GArray) told = waiting;

	reading_free(reading);
	running = retrying = FALSE;
	waiting = next;
	next = g_array_new(FALSE, FALSE, sizeof(Waiter));
	if (waiting->len)
		start();
	for (guint i = 0; i < told->len; i++) {
		const Waiter *waiter = &g_array_index(told, Waiter, i);

		if (waiter->done)
			waiter->done(error, waiter->user_data);
	}
}

static void start(void)
{
	g_autoptr(GTask) task = g_task_new(NULL, NULL, on_read, NULL);

	running = TRUE;
	g_task_run_in_thread(task, run);
}

void reload_begin(ReloadDone done, gpointer user_data)
{
	Waiter waiter = { done, user_data };

	g_array_append_val(running ? next : waiting, waiter);
	if (!running)
		start();
}
