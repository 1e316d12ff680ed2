/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Until devices have come as far as somebody needs them. ublkd tells; nothing is polled.
 */
#include <stdio.h>
#include <string.h>

#include "bus.h"
#include "device-word.h"
#include "errors.h"
#include "output.h"
#include "verbs.h"
#include "watch.h"

static const struct goal {
	const char *name;
	gboolean comes; /* a device that is not there may still come */
} goals[] = {
	{ "created", TRUE },
	{ UBLK_STATE_LIVE, TRUE },
	{ UBLK_STATE_STOPPING, FALSE },
	{ "gone", FALSE },
};

struct awaited {
	const char *word;
	/*
	 * The device that the word meant when it was first there, as it is by now, or was when it
	 * was done with; NULL: not there yet.
	 */
	Device *device;
	gboolean done;
};

struct waiting {
	const struct goal *goal;
	guint32 uid;
	struct awaited *awaited;
	int n_awaited;
	Watch *watch;
	gboolean known; /* what there is */
};

static gboolean is_goal(const struct waiting *waiting, const char *name)
{
	return g_str_equal(waiting->goal->name, name);
}

static gboolean is_going(const Device *device)
{
	return g_str_equal(device->state, UBLK_STATE_STOPPING) ||
	       g_str_equal(device->state, UBLK_STATE_DEAD);
}

static gboolean is_this(const struct awaited *awaited, const Device *device)
{
	return awaited->device && g_str_equal(awaited->device->path, device->path) &&
	       awaited->device->created_at == device->created_at;
}

static void end_if_done(struct waiting *waiting)
{
	for (int i = 0; i < waiting->n_awaited; i++)
		if (!waiting->awaited[i].done)
			return;
	watch_end(waiting->watch, NULL);
}

static void give_up(struct waiting *waiting, const struct awaited *awaited, const Device *device)
{
	watch_end(waiting->watch,
		  g_error_new(CLIENT_ERROR, EXIT_CODE_NOT_FOUND,
			      "“%s” will not be %s any more, it goes away: %s", awaited->word,
			      waiting->goal->name,
			      *device->ending ? device->ending : "ublkd does not say why"));
}

/* The device that is awaited is there: has it come so far? */
static void look(struct waiting *waiting, struct awaited *awaited, const Device *device)
{
	g_clear_pointer(&awaited->device, device_free);
	awaited->device = device_ref(device);
	if (is_goal(waiting, "created"))
		awaited->done = TRUE;
	else if (is_goal(waiting, UBLK_STATE_LIVE))
		awaited->done = g_str_equal(device->state, UBLK_STATE_LIVE);
	else if (is_goal(waiting, UBLK_STATE_STOPPING))
		awaited->done = is_going(device);
	if (!awaited->done && waiting->goal->comes && is_going(device))
		give_up(waiting, awaited, device);
}

/* Whether a word means one of those that are there. */
static void resolve(struct waiting *waiting, struct awaited *awaited, GPtrArray *devices)
{
	g_autoptr(GError) error = NULL;
	const Device *device = device_word_find(devices, awaited->word, waiting->uid, &error);

	if (device)
		look(waiting, awaited, device);
	else if (!g_error_matches(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND))
		watch_end(waiting->watch, g_steal_pointer(&error));
	else if (!waiting->goal->comes)
		awaited->done = TRUE;
}

static void resolve_all(struct waiting *waiting)
{
	g_autoptr(GPtrArray) devices = watch_get_devices(waiting->watch);

	for (int i = 0; i < waiting->n_awaited; i++)
		if (!waiting->awaited[i].done && !waiting->awaited[i].device)
			resolve(waiting, &waiting->awaited[i], devices);
	end_if_done(waiting);
}

static void on_ready(gboolean first, gpointer data)
{
	struct waiting *waiting = data;

	waiting->known = TRUE;
	resolve_all(waiting);
}

/* Not one by one while the list is being told: a word may mean two of them. */
static void on_added(const Device *device, gboolean first, gpointer data)
{
	struct waiting *waiting = data;

	if (waiting->known)
		resolve_all(waiting);
}

static void on_changed(const Device *before, const Device *device, gpointer data)
{
	struct waiting *waiting = data;

	for (int i = 0; i < waiting->n_awaited; i++)
		if (!waiting->awaited[i].done && is_this(&waiting->awaited[i], device))
			look(waiting, &waiting->awaited[i], device);
	end_if_done(waiting);
}

static void on_removed(const Device *device, gpointer data)
{
	struct waiting *waiting = data;

	for (int i = 0; i < waiting->n_awaited; i++) {
		struct awaited *awaited = &waiting->awaited[i];

		if (awaited->done || !is_this(awaited, device))
			continue;
		awaited->done = !waiting->goal->comes;
		if (!awaited->done)
			give_up(waiting, awaited, device);
	}
	end_if_done(waiting);
}

static const struct goal *find_goal(const char *name, GError **error)
{
	for (gsize i = 0; i < G_N_ELEMENTS(goals); i++)
		if (g_str_equal(goals[i].name, name))
			return &goals[i];
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
		    "--for: “%s” is none of created, live, stopping, gone", name);
	return NULL;
}

static gboolean wait_for_all(Bus *bus, struct waiting *waiting, GError **error)
{
	static const struct watch_handlers handlers = {
		.added = on_added,
		.changed = on_changed,
		.removed = on_removed,
		.ready = on_ready,
	};
	g_autoptr(Watch) watch = watch_new(bus, &handlers, waiting);

	waiting->watch = watch;
	if (watch_run(watch, FALSE, error))
		return TRUE;
	for (int i = 0; i < waiting->n_awaited; i++)
		if (!waiting->awaited[i].done &&
		    g_error_matches(*error, CLIENT_ERROR, EXIT_CODE_TIMEOUT)) {
			g_prefix_error(error, "“%s” is not %s: ", waiting->awaited[i].word,
				       waiting->goal->name);
			break;
		}
	return FALSE;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean quiet = FALSE, json = FALSE;
	g_autofree char *state = NULL;
	const GOptionEntry entries[] = {
		{ "for", 0, 0, G_OPTION_ARG_STRING, &state,
		  "live (the default), created, stopping or gone", "STATE" },
		VERBS_JSON(&json),
		{ "quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "Print nothing", NULL },
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
	g_autofree struct awaited *awaited = NULL;
	struct waiting waiting = { 0 };
	gboolean done;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	waiting.goal = find_goal(state ? state : UBLK_STATE_LIVE, error);
	if (!waiting.goal)
		return EXIT_CODE_USAGE;
	waiting.n_awaited = argc - 1;
	waiting.awaited = awaited = g_new0(struct awaited, waiting.n_awaited);
	for (int i = 0; i < waiting.n_awaited; i++)
		awaited[i].word = argv[i + 1];
	bus = bus_connect(FALSE, error);
	if (!bus || !bus_get_uid(bus, &waiting.uid, error))
		return EXIT_CODE_FAILURE;
	done = wait_for_all(bus, &waiting, error);
	for (int i = 0; i < waiting.n_awaited; i++)
		if (awaited[i].device)
			g_ptr_array_add(devices, awaited[i].device);
	if (done && json)
		output_print_json(stdout, devices, NULL);
	else if (done && waiting.goal->comes && !quiet)
		output_print_paths(stdout, devices);
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_wait = {
	.name = "wait",
	.arguments = "DEVICE…",
	.min_words = 1,
	.max_words = -1,
	.summary = "Wait until a device is live, or gone",
	.description =
		"For live, and for created, a device may still have to come; its path is printed "
		"then.\n"
		"That it goes away instead is exit status 3. For gone, and for stopping, it is as\n"
		"good if there is none.\n"
		"\n"
		"Examples:\n"
		"  ublk-client wait work && mount /dev/disk/by-ublk/1000-work /mnt\n"
		"  ublk-client wait --for gone --timeout 10 work",
	.run = run,
};
