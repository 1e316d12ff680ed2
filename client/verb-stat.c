/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What devices do, again and again. The figures are the kernel's and cost ublkd nothing; from it
 * comes only which devices there are.
 *
 * On a terminal the table is drawn over the last one, by moving the cursor up. Nothing else of the
 * terminal is changed, so that there is nothing to restore, however this ends.
 */
#include <glib-unix.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus.h"
#include "device-word.h"
#include "disk-stats.h"
#include "errors.h"
#include "graph.h"
#include "json.h"
#include "output.h"
#include "parse.h"
#include "table.h"
#include "verbs.h"
#include "watch.h"

#define GRAPH_WIDTH        20
#define GRAPH_WIDTH_NARROW 10
#define NARROW             120
#define MIN_INTERVAL       0.1
#define MAX_INTERVAL       86400

/* A live device. */
struct row {
	guint32 id;
	DiskStats *stats; /* the last look */
	struct disk_rates rates;
	struct graph history;
};

struct watching {
	Watch *watch;
	struct disk_stats_roots roots;
	guint32 uid;
	gboolean all, json;
	char **words;
	double interval; /* seconds */
	gint64 last;     /* monotonic */
	int count;       /* reports to come; 0: no end */
	gboolean lost;
	GHashTable *rows; /* object path → struct row */
	int drawn;        /* lines of the table that is on the terminal */
	guint timer, resize;
};

static void free_row(gpointer data)
{
	struct row *row = data;

	disk_stats_free(row->stats);
	g_free(row);
}

/* ---- the figures as people read them ---- */

static char *format_rate(double rate)
{
	if (isnan(rate))
		return g_strdup("-");
	if (rate < 9999.5)
		return g_strdup_printf(rate < 9.95 ? "%.1f" : "%.0f", rate);
	return rate < 999950 ? g_strdup_printf("%.1fk", rate / 1e3)
			     : g_strdup_printf("%.1fM", rate / 1e6);
}

static char *format_bandwidth(double bytes)
{
	return isnan(bytes) ? g_strdup("-") : output_format_size((guint64)bytes);
}

static char *format_duration(double seconds, const struct terminal *terminal)
{
	if (isnan(seconds))
		return g_strdup("-");
	if (seconds < 999.5e-6)
		return g_strdup_printf("%.*f%s", seconds < 99.5e-6 ? 1 : 0, seconds * 1e6,
				       terminal->utf8 ? "µs" : "us");
	return seconds < 0.9995 ? g_strdup_printf("%.1fms", seconds * 1e3)
				: g_strdup_printf("%.1fs", seconds);
}

static char *format_depth(double depth, const Device *device)
{
	return isnan(depth) ? g_strdup("-")
			    : g_strdup_printf("%.1f/%" G_GUINT64_FORMAT, depth,
					      (guint64)device->queues * device->depth);
}

static char *format_percent(double part)
{
	return isnan(part) ? g_strdup("-") : g_strdup_printf("%.0f%%", part * 100);
}

static void add_row(Table *table, const Device *device, const struct row *row, int graph_width,
		    const struct terminal *terminal)
{
	const struct disk_rates *rates = &row->rates;
	char *const cells[] = {
		output_escape_text(device->block_device),
		output_escape_text(device->name),
		format_rate(rates->requests[DISK_READ]),
		format_rate(rates->requests[DISK_WRITE]),
		format_bandwidth(rates->bytes[DISK_READ]),
		format_bandwidth(rates->bytes[DISK_WRITE]),
		format_duration(rates->latency[DISK_READ], terminal),
		format_duration(rates->latency[DISK_WRITE], terminal),
		format_depth(rates->depth, device),
		format_percent(rates->cpu),
		format_duration(rates->cpu_per_request, terminal),
		graph_draw(&row->history, graph_width, terminal),
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cells); i++)
		table_add(table, cells[i], TERMINAL_PLAIN);
}

static char *make_table(struct watching *watching, const struct terminal *terminal)
{
	static const struct table_column columns[] = {
		{ .heading = "DEVICE" },
		{ .heading = "NAME", .least = 6, .dispensable = 4 },
		{ .heading = "R/S", .right = TRUE },
		{ .heading = "W/S", .right = TRUE },
		{ .heading = "READ/S", .right = TRUE },
		{ .heading = "WRITE/S", .right = TRUE },
		{ .heading = "R-WAIT", .right = TRUE, .dispensable = 2 },
		{ .heading = "W-WAIT", .right = TRUE, .dispensable = 1 },
		{ .heading = "DEPTH", .right = TRUE, .dispensable = 5 },
		{ .heading = "CPU", .right = TRUE, .dispensable = 6 },
		{ .heading = "CPU/REQ", .right = TRUE, .dispensable = 3 },
		{ .heading = "REQUESTS", .dispensable = 7 },
	};
	g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
	g_autoptr(GPtrArray) devices = watch_get_devices(watching->watch);
	char *text = NULL;
	gsize length;
	FILE *stream = open_memstream(&text, &length);

	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];
		const struct row *row = g_hash_table_lookup(watching->rows, device->path);

		if (row)
			add_row(table, device, row,
				terminal->width < NARROW ? GRAPH_WIDTH_NARROW : GRAPH_WIDTH,
				terminal);
	}
	table_print(table, stream, terminal);
	fclose(stream);
	return text;
}

static void draw_line(struct watching *watching, const char *text, const struct terminal *terminal)
{
	/* A line that is too long would become two, and the next table be drawn too low. */
	g_autofree char *line = terminal_cut_text(terminal, text, terminal->width);

	/* Cleared before: behind a text that reaches the edge its last character would be cleared.
	 */
	printf("\033[2K%s\n", line);
	watching->drawn++;
}

/* Over the last one; no more lines than there are, or the first ones could not be reached again. */
static void draw(struct watching *watching)
{
	struct terminal terminal = terminal_get(STDOUT_FILENO);
	g_autofree char *table = make_table(watching, &terminal);
	g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
	int room = terminal.height - 1;

	if (watching->drawn)
		printf("\r\033[%dA", watching->drawn);
	watching->drawn = 0;
	if (watching->lost && room > 1)
		draw_line(watching, "ublkd has gone; the figures are the kernel's", &terminal);
	/* The last of them is empty. */
	for (char **line = lines; line[1] && watching->drawn < room; line++)
		draw_line(watching, *line, &terminal);
	printf("\033[J");
}

static void print_text(struct watching *watching)
{
	struct terminal terminal = terminal_get(STDOUT_FILENO);
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S");
	g_autofree char *table = make_table(watching, &terminal);

	printf("%s\n%s\n", time, table);
}

/* ---- … and as programs do ---- */

static void add(GVariantBuilder *builder, const char *key, GVariant *value)
{
	g_variant_builder_add(builder, "{sv}", key, value);
}

/* As exact as anything is that was measured. What is not known is null, as NAN is in JSON. */
static void add_number(GVariantBuilder *builder, const char *key, double number)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];

	g_ascii_formatd(text, sizeof(text), "%.6g", number);
	add(builder, key, g_variant_new_double(g_ascii_strtod(text, NULL)));
}

static GVariant *build_device(const Device *device, const struct disk_rates *rates)
{
	static const struct {
		const char *requests, *bytes, *latency;
	} keys[N_DISK_KINDS] = {
		[DISK_READ] = { "reads", "read_bytes", "read_latency" },
		[DISK_WRITE] = { "writes", "written_bytes", "write_latency" },
		[DISK_DISCARD] = { "discards", "discarded_bytes", "discard_latency" },
		[DISK_FLUSH] = { "flushes", NULL, "flush_latency" },
	};
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	add(&b, "id", g_variant_new_uint32(device->id));
	add(&b, "name", g_variant_new_string(device->name));
	add(&b, "block_device", g_variant_new_string(device->block_device));
	add(&b, "owner_uid", g_variant_new_uint32(device->owner_uid));
	for (int kind = 0; kind < N_DISK_KINDS; kind++) {
		add_number(&b, keys[kind].requests, rates->requests[kind]);
		if (keys[kind].bytes)
			add_number(&b, keys[kind].bytes, rates->bytes[kind]);
		add_number(&b, keys[kind].latency, rates->latency[kind]);
	}
	add_number(&b, "in_flight", rates->in_flight);
	add_number(&b, "mean_in_flight", rates->depth);
	add(&b, "depth", g_variant_new_uint64((guint64)device->queues * device->depth));
	add_number(&b, "busy", rates->busy);
	add_number(&b, "cpu", rates->cpu);
	add_number(&b, "cpu_per_request", rates->cpu_per_request);
	return g_variant_builder_end(&b);
}

static void print_json(struct watching *watching, double seconds)
{
	g_autoptr(GPtrArray) devices = watch_get_devices(watching->watch);
	g_autofree char *time = output_format_now(), *text = NULL;
	GVariantBuilder list;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];
		const struct row *row = g_hash_table_lookup(watching->rows, device->path);

		if (row)
			g_variant_builder_add_value(&list, build_device(device, &row->rates));
	}
	text = json_print_line(
		g_variant_new_parsed("{'version': <@u 1>, 'time': <%s>, 'seconds': <%d>, "
				     "'devices': <%v>}",
				     time, seconds, g_variant_builder_end(&list)));
	printf("%s\n", text);
}

/* ---- the run ---- */

static void report(struct watching *watching, double seconds)
{
	GError *error = NULL;

	if (watching->json)
		print_json(watching, seconds);
	else if (terminal_get(STDOUT_FILENO).moves)
		draw(watching);
	else
		print_text(watching);
	if (!output_flush(&error))
		watch_end(watching->watch, error);
}

static void look_again(gpointer key, gpointer value, gpointer data)
{
	struct watching *watching = data;
	struct row *row = value;
	DiskStats *now = disk_stats_take(&watching->roots, row->id, row->stats->pid);

	row->rates = disk_stats_compare(row->stats, now);
	graph_add(&row->history, row->rates.all_requests);
	disk_stats_free(row->stats);
	row->stats = now;
}

static gboolean on_tick(gpointer data)
{
	struct watching *watching = data;
	gint64 now = g_get_monotonic_time();
	double seconds = (double)(now - watching->last) / G_USEC_PER_SEC;

	watching->last = now;
	g_hash_table_foreach(watching->rows, look_again, watching);
	report(watching, seconds);
	if (watching->count && --watching->count == 0)
		watch_end(watching->watch, NULL);
	return G_SOURCE_CONTINUE;
}

/* A device that can be looked at, or not any more. */
static void follow(struct watching *watching, const Device *device)
{
	struct row *row = g_hash_table_lookup(watching->rows, device->path);

	if (!g_str_equal(device->state, UBLK_STATE_LIVE)) {
		g_hash_table_remove(watching->rows, device->path);
	} else if (row) {
		/* Another server: what it has used is compared from the next look on. */
		row->stats->pid = device->server_pid;
	} else if (device_word_selects(device, watching->words, watching->uid, watching->all)) {
		row = g_new0(struct row, 1);
		row->id = device->id;
		row->stats = disk_stats_take(&watching->roots, device->id, device->server_pid);
		g_hash_table_insert(watching->rows, g_strdup(device->path), row);
	}
}

static void on_added(const Device *device, gboolean first, gpointer data)
{
	follow(data, device);
}

static void on_changed(const Device *before, const Device *device, gpointer data)
{
	follow(data, device);
}

static void on_removed(const Device *device, gpointer data)
{
	g_hash_table_remove(((struct watching *)data)->rows, device->path);
}

static void on_lost(gpointer data)
{
	((struct watching *)data)->lost = TRUE;
}

static void on_ready(gboolean first, gpointer data)
{
	struct watching *watching = data;
	g_autoptr(GPtrArray) devices = watch_get_devices(watching->watch);
	GError *error = NULL;

	watching->lost = FALSE;
	/* Whoever names a device that is not there has most likely mistyped it. */
	for (char **word = watching->words; first && *word; word++)
		if (!device_word_find(devices, *word, watching->uid, &error)) {
			watch_end(watching->watch, error);
			return;
		}
	if (!first)
		return;
	watching->last = g_get_monotonic_time();
	watching->timer = g_timeout_add((guint)(watching->interval * 1000), on_tick, watching);
}

/* What was drawn may have been broken into other lines: from the top again. */
static gboolean on_resize(gpointer data)
{
	struct watching *watching = data;

	if (watching->drawn) {
		printf("\033[H\033[2J");
		watching->drawn = 0;
		draw(watching);
		fflush(stdout);
	}
	return G_SOURCE_CONTINUE;
}

static void watch(Bus *bus, struct watching *watching, GError **error)
{
	static const struct watch_handlers handlers = {
		.added = on_added,
		.changed = on_changed,
		.removed = on_removed,
		.ready = on_ready,
		.lost = on_lost,
	};
	g_autoptr(Watch) watch = watch_new(bus, &handlers, watching);

	watching->watch = watch;
	watching->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_row);
	watching->resize = g_unix_signal_add(SIGWINCH, on_resize, watching);
	watch_run(watch, TRUE, error);
	/* The ^C that the terminal has shown. */
	if (watching->drawn)
		printf("\r\033[K");
	g_clear_handle_id(&watching->timer, g_source_remove);
	g_source_remove(watching->resize);
	g_hash_table_unref(watching->rows);
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	struct watching watching = { .interval = 1 };
	g_autofree char *interval = NULL;
	const GOptionEntry entries[] = {
		{ "interval", 'i', 0, G_OPTION_ARG_STRING, &interval,
		  "How long between reports (default: 1)", "SECONDS" },
		{ "count", 'c', 0, G_OPTION_ARG_INT, &watching.count,
		  "How many reports (default: until interrupted)", "N" },
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &watching.all,
		  "Everybody's devices (root's default), not just one's own", NULL },
		VERBS_JSON(&watching.json),
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	if (interval &&
	    !parse_seconds(interval, MIN_INTERVAL, MAX_INTERVAL, &watching.interval, error)) {
		g_prefix_error(error, "--interval: ");
		return EXIT_CODE_USAGE;
	}
	if (watching.count < 0) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--count: %d is no number of reports", watching.count);
		return EXIT_CODE_USAGE;
	}
	bus = bus_connect(FALSE, error);
	if (!bus || !bus_get_uid(bus, &watching.uid, error))
		return EXIT_CODE_FAILURE;
	terminal_end_with_reader();
	watching.all = watching.all || watching.uid == 0;
	watching.words = argv + 1;
	watching.roots = disk_stats_get_roots();
	watch(bus, &watching, error);
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_stat = {
	.name = "stat",
	.arguments = "[DEVICE…]",
	.max_words = -1,
	.summary = "Show how fast devices are, and how busy",
	.description =
		"Of live devices, until interrupted: requests and bytes per second, how long a "
		"request\n"
		"took, how many were under way of how many there can be (DEPTH), the processor "
		"time\n"
		"of the server in all and for each request, and the recent past of the requests "
		"per\n"
		"second. All are means since the last report.\n"
		"\n"
		"Examples:\n"
		"  ublk-client stat\n"
		"  ublk-client stat -i 10 -c 6 work\n"
		"  ublk-client stat --json | jq --unbuffered '.devices[] | {name, reads}'",
	.run = run,
};
