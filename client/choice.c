/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choice.h"

#include <unistd.h>

#include "device-use.h"
#include "device-word.h"
#include "errors.h"
#include "kept.h"
#include "output.h"
#include "parse.h"

/*
 * The chosen devices, in the order of the words and each only once. Owned by @devices. @absent: a
 * kept device that is not there is none that is missing, and is added to them; or NULL.
 */
static GPtrArray *choose(GPtrArray *devices, guint32 uid, gboolean all, char **words,
			 GPtrArray *absent, GError **error)
{
	g_autoptr(GPtrArray) chosen = g_ptr_array_new();

	for (guint i = 0; all && i < devices->len; i++) {
		Device *device = devices->pdata[i];

		if (device->owner_uid == uid)
			g_ptr_array_add(chosen, device);
	}
	for (char **word = words; *word; word++) {
		g_autoptr(GError) failure = NULL;
		Device *device = device_word_find(devices, *word, uid, &failure);

		if (!device && absent && kept_exists(*word)) {
			g_ptr_array_add(absent, *word);
			continue;
		}
		if (!device) {
			g_propagate_error(error, g_steal_pointer(&failure));
			return NULL;
		}
		if (!g_ptr_array_find(chosen, device, NULL))
			g_ptr_array_add(chosen, device);
	}
	return g_steal_pointer(&chosen);
}

/* Tell of a failure; the first one is the command's. */
static void note_failure(const GError *failure, int *status)
{
	errors_print(failure, FALSE);
	if (*status == EXIT_CODE_SUCCESS)
		*status = errors_get_exit_code(failure);
}

/* The kernel takes a device away under a mounted file system without a word. */
static gboolean take_away(Bus *bus, const Device *device, gboolean deletes, gboolean wait,
			  gboolean force, GError **error)
{
	g_autofree char *use = NULL;

	if (!deadline_check(error)) {
		g_prefix_error(error, "%s stays: ", device->block_device);
		return FALSE;
	}
	use = force ? NULL : device_use_describe("", device->id);
	if (use) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_BUSY,
			    "%s, or lose with --force what was not written back", use);
		return FALSE;
	}
	/* What is not live cannot be stopped, and is deleted in no time. */
	if (deletes && !g_str_equal(device->state, UBLK_STATE_LIVE))
		wait = TRUE;
	return device_call(bus, device, wait ? "Delete" : "Stop", error);
}

int choice_run(const struct verb *verb, gboolean deletes, int argc, char **argv, GError **error)
{
	gboolean ask_password = TRUE, all = FALSE, wait = deletes, force = FALSE, forget = deletes;
	gboolean json = FALSE;
	g_auto(GStrv) numbers = NULL;
	const GOptionEntry entries[] = {
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &all, "All devices of one's own", NULL },
		{ "id", 'n', 0, G_OPTION_ARG_STRING_ARRAY, &numbers, "The device's number", "ID" },
		{ "number", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING_ARRAY, &numbers, NULL,
		  "ID" },
		{ "wait", 0, 0, G_OPTION_ARG_NONE, &wait,
		  "Until the server has left and the number is free", NULL },
		{ "no-wait", 0, G_OPTION_FLAG_REVERSE, G_OPTION_ARG_NONE, &wait,
		  "Only until the block device has gone", NULL },
		{ "force", 0, 0, G_OPTION_ARG_NONE, &force, "Also while it is mounted or in use",
		  NULL },
		VERBS_JSON(&json),
		VERBS_NO_ASK_PASSWORD(&ask_password),
		DEADLINE_OPTION,
		{ NULL },
	};
	const GOptionEntry forgetting[] = {
		{ "no-forget", 0, G_OPTION_FLAG_REVERSE, G_OPTION_ARG_NONE, &forget,
		  "A device that is kept still comes back", NULL },
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GPtrArray) devices = NULL, chosen = NULL;
	g_autoptr(GPtrArray) absent = g_ptr_array_new(), taken = g_ptr_array_new();
	g_autoptr(GStrvBuilder) words = g_strv_builder_new();
	g_auto(GStrv) list = NULL;
	int status = EXIT_CODE_SUCCESS;
	guint32 uid;

	if (!verbs_parse_two(verb, entries, deletes ? forgetting : NULL, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	/* A number is as good as a node's name, and cannot be taken for a device's name then. */
	for (char **number = numbers; number && *number; number++) {
		g_autofree char *node = g_strconcat("/dev/ublkb", *number, NULL);
		guint64 id;

		if (!parse_number(*number, G_MAXUINT32, &id, error)) {
			g_prefix_error(error, "-n: ");
			return EXIT_CODE_USAGE;
		}
		g_strv_builder_add(words, node);
	}
	for (int i = 1; i < argc; i++)
		g_strv_builder_add(words, argv[i]);
	list = g_strv_builder_end(words);
	if (all ? list[0] != NULL : list[0] == NULL) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "say which: DEVICE…, -n ID, or --all of your own");
		return EXIT_CODE_USAGE;
	}

	bus = bus_connect(ask_password, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	devices = device_list(bus, error);
	if (!devices)
		return EXIT_CODE_FAILURE;
	chosen = choose(devices, uid, all, list, forget ? absent : NULL, error);
	if (!chosen)
		return EXIT_CODE_NOT_FOUND;

	for (guint i = 0; i < absent->len; i++) {
		g_autoptr(GError) failure = NULL;

		kept_forget(absent->pdata[i], &failure);
		if (failure)
			note_failure(failure, &status);
	}
	/* One that fails keeps the others from nothing. */
	for (guint i = 0; i < chosen->len; i++) {
		Device *device = chosen->pdata[i];
		g_autoptr(GError) failure = NULL;

		if (take_away(bus, device, deletes, wait, force, &failure)) {
			g_ptr_array_add(taken, device);
			if (forget && device->owner_uid == getuid())
				kept_forget(device->name, &failure);
			if (!failure)
				continue;
		}
		/* Gone by itself while we were about it: for --all that is as good. */
		if (all && errors_get_exit_code(failure) == EXIT_CODE_NOT_FOUND)
			continue;
		note_failure(failure, &status);
	}
	if (json)
		output_print_json(stdout, taken, NULL);
	return status;
}
