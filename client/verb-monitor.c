/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happens to devices, a line for each event, as it happens.
 */
#include <stdio.h>
#include <unistd.h>

#include "bus.h"
#include "device-word.h"
#include "errors.h"
#include "json.h"
#include "output.h"
#include "verbs.h"
#include "watch.h"

struct monitoring {
	Watch *watch;
	struct terminal terminal;
	guint32 uid;
	gboolean all, json;
	char **words;
};

/* Whoever reads learns it now. */
static void flush(struct monitoring *monitoring)
{
	GError *error = NULL;

	if (!output_flush(&error))
		watch_end(monitoring->watch, error);
}

/* The keys, as the JSON has them, in which two states of a device differ. */
static GVariant *find_changes(GVariant *before, GVariant *after)
{
	GVariantBuilder keys;
	const char *key;
	GVariantIter iter;
	GVariant *value;

	g_variant_builder_init(&keys, G_VARIANT_TYPE_STRING_ARRAY);
	g_variant_iter_init(&iter, after);
	while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) {
		g_autoptr(GVariant) old = g_variant_lookup_value(before, key, NULL);

		if (!old || !g_variant_equal(old, value))
			g_variant_builder_add(&keys, "s", key);
	}
	return g_variant_builder_end(&keys);
}

/* @device and @before: NULL where the event has none. */
static void print_json(struct monitoring *monitoring, const char *event, const Device *before,
		       const Device *device)
{
	g_autoptr(GVariant) now = device ? g_variant_ref_sink(output_build_device(device)) : NULL;
	g_autofree char *time = output_format_now(), *text = NULL;
	GVariantBuilder line;

	g_variant_builder_init(&line, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&line, "{sv}", "version", g_variant_new_uint32(OUTPUT_JSON_VERSION));
	g_variant_builder_add(&line, "{sv}", "time", g_variant_new_string(time));
	g_variant_builder_add(&line, "{sv}", "event", g_variant_new_string(event));
	if (before) {
		g_autoptr(GVariant) old = g_variant_ref_sink(output_build_device(before));

		g_variant_builder_add(&line, "{sv}", "changed", find_changes(old, now));
	}
	if (device)
		g_variant_builder_add(&line, "{sv}", "device", now);
	text = json_print_line(g_variant_builder_end(&line));
	printf("%s\n", text);
	flush(monitoring);
}

static void print_time(void)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S");

	printf("%s  ", time);
}

static void print_state(const struct monitoring *monitoring, const char *text)
{
	enum terminal_style style = output_get_state_style(text);
	g_autofree char *state = output_escape_text(text);

	printf("%s%s%s", terminal_begin_style(&monitoring->terminal, style), state,
	       terminal_end_style(&monitoring->terminal, style));
}

/* A sentence, when it is a new one. */
static void print_sentence(const char *before, const char *now)
{
	g_autofree char *text = output_escape_text(now);

	if (*now && g_strcmp0(before, now) != 0)
		printf("  %s", text);
}

/* What a person wants to know of a new device, or of one that has changed. */
static void print_details(const struct monitoring *monitoring, const Device *before,
			  const Device *device)
{
	const char *arrow = terminal_get_arrow(&monitoring->terminal);

	if (!before || !g_str_equal(before->state, device->state)) {
		printf("  ");
		if (before) {
			print_state(monitoring, before->state);
			printf(" %s ", arrow);
		}
		print_state(monitoring, device->state);
	}
	print_sentence(before ? before->ending : NULL, device->ending);
	print_sentence(before ? before->server_error : NULL, device->server_error);
	if (before ? before->size != device->size : device->size > 0) {
		g_autofree char *size = output_format_size(device->size);

		printf("  size %s", size);
	}
	if (!before && *device->target) {
		g_autofree char *target = output_escape_text(device->target);

		printf("  target %s", target);
	}
	if (before ? before->server_pid != device->server_pid : device->server_pid > 0) {
		if (device->server_pid)
			printf("  server %u", device->server_pid);
		else
			printf("  no server");
	}
	if (before ? before->shared_memory != device->shared_memory : device->shared_memory > 0) {
		g_autofree char *size = output_format_size(device->shared_memory);

		printf("  shared memory %s", size);
	}
}

static void print_text(struct monitoring *monitoring, const char *event, const Device *before,
		       const Device *device)
{
	g_autofree char *user = output_format_user(device->owner_uid);
	g_autofree char *name = output_escape_text(device->name);
	g_autofree char *node = output_escape_text(device->block_device);

	print_time();
	printf("%-7s  %s  %s/%s", event, node, user, name);
	if (!g_str_equal(event, "removed"))
		print_details(monitoring, before, device);
	putchar('\n');
	flush(monitoring);
}

static void tell(struct monitoring *monitoring, const char *event, const Device *before,
		 const Device *device)
{
	if (!device_word_selects(device, monitoring->words, monitoring->uid, monitoring->all))
		return;
	if (monitoring->json)
		print_json(monitoring, event, before, device);
	else
		print_text(monitoring, event, before, device);
}

static void on_added(const Device *device, gboolean first, gpointer data)
{
	tell(data, first ? "present" : "added", NULL, device);
}

static void on_changed(const Device *before, const Device *device, gpointer data)
{
	tell(data, "changed", before, device);
}

static void on_removed(const Device *device, gpointer data)
{
	tell(data, "removed", NULL, device);
}

static void tell_of_ublkd(struct monitoring *monitoring, const char *event, const char *text)
{
	if (monitoring->json) {
		print_json(monitoring, event, NULL, NULL);
		return;
	}
	print_time();
	printf("%s\n", text);
	flush(monitoring);
}

static void on_ready(gboolean first, gpointer data)
{
	struct monitoring *monitoring = data;

	if (!first)
		tell_of_ublkd(monitoring, "back", "ublkd is back");
	else if (monitoring->json)
		print_json(monitoring, "ready", NULL, NULL);
}

static void on_lost(gpointer data)
{
	tell_of_ublkd(data, "lost",
		      "ublkd has gone; the devices go on, and what happens to them is told when it "
		      "is back");
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	static const struct watch_handlers handlers = {
		.added = on_added,
		.changed = on_changed,
		.removed = on_removed,
		.ready = on_ready,
		.lost = on_lost,
	};
	struct monitoring monitoring = { 0 };
	const GOptionEntry entries[] = {
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &monitoring.all,
		  "Everybody's devices (root's default), not just one's own", NULL },
		VERBS_JSON(&monitoring.json),
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(Watch) watch = NULL;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(FALSE, error);
	if (!bus || !bus_get_uid(bus, &monitoring.uid, error))
		return EXIT_CODE_FAILURE;
	terminal_end_with_reader();
	monitoring.all = monitoring.all || monitoring.uid == 0;
	monitoring.terminal = terminal_get(STDOUT_FILENO);
	monitoring.words = argv + 1;
	monitoring.watch = watch = watch_new(bus, &handlers, &monitoring);
	watch_run(watch, TRUE, error);
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_monitor = {
	.name = "monitor",
	.arguments = "[DEVICE…]",
	.max_words = -1,
	.summary = "Follow what happens to devices",
	.description =
		"A line for each event, until interrupted: the devices that are present, then "
		"what is\n"
		"added, changed and removed. It goes on when ublkd is restarted, and says so.\n"
		"\n"
		"Examples:\n"
		"  ublk-client monitor\n"
		"  ublk-client monitor --all --json | jq --unbuffered -r '.event'",
	.run = run,
};
