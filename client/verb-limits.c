/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The administrator's limits, and what of them is used as far as the bus tells.
 */
#include <stdio.h>
#include <unistd.h>

#include "bus.h"
#include "device.h"
#include "errors.h"
#include "json.h"
#include "output.h"
#include "table.h"
#include "verbs.h"

/* Of the kernel's memory, for each request of each queue: ublkd.conf(5). */
#define QUEUE_ENTRY_BYTES 1024

/* What devices use of a limit. */
enum use { COUNT, QUEUE_MEMORY, SHARED_MEMORY };

static const struct counted {
	const char *limit; /* as in ublkd.conf */
	gboolean everybody;
	enum use use;
	gboolean bytes;
} counted[] = {
	{ "devices-per-user", FALSE, COUNT, FALSE },
	{ "devices-total", TRUE, COUNT, FALSE },
	{ "queue-memory-per-user", FALSE, QUEUE_MEMORY, TRUE },
	{ "shared-memory-per-user", FALSE, SHARED_MEMORY, TRUE },
};

static const struct counted *find_counted(const char *limit)
{
	for (gsize i = 0; i < G_N_ELEMENTS(counted); i++)
		if (g_str_equal(counted[i].limit, limit))
			return &counted[i];
	return NULL;
}

static guint64 get_use(const Device *device, enum use use)
{
	switch (use) {
	case COUNT:
		return 1;
	case QUEUE_MEMORY:
		return (guint64)device->queues * device->depth * QUEUE_ENTRY_BYTES;
	case SHARED_MEMORY:
		return device->shared_memory;
	}
	g_assert_not_reached();
}

static guint64 add_up(const struct counted *limit, GPtrArray *devices, guint32 uid)
{
	guint64 sum = 0;

	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];

		if (limit->everybody || device->owner_uid == uid)
			sum += get_use(device, limit->use);
	}
	return sum;
}

/* A limit's number; FALSE: it is none, from a later ublkd. */
static gboolean get_number(GVariant *value, guint64 *number)
{
	if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64))
		*number = g_variant_get_uint64(value);
	else if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT32))
		*number = g_variant_get_uint32(value);
	else
		return FALSE;
	return TRUE;
}

static char *format_number(guint64 number, gboolean bytes)
{
	return bytes ? output_format_size(number) : g_strdup_printf("%" G_GUINT64_FORMAT, number);
}

static void print_table(GVariant *limits, GPtrArray *devices, guint32 uid, gboolean plain)
{
	static const struct table_column columns[] = {
		{ .heading = "LIMIT" },
		{ .heading = "AT MOST", .right = TRUE },
		{ .heading = "USED", .right = TRUE },
	};
	g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
	struct terminal terminal = terminal_get(STDOUT_FILENO);
	const char *name;
	GVariantIter iter;
	GVariant *value;

	g_variant_iter_init(&iter, limits);
	while (g_variant_iter_loop(&iter, "{&sv}", &name, &value)) {
		const struct counted *limit = find_counted(name);
		/* Memory is what a later ublkd says in 64 bits, too. */
		gboolean bytes = !plain && g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64);
		guint64 most, used = limit ? add_up(limit, devices, uid) : 0;

		if (!get_number(value, &most))
			continue;
		table_add(table, output_escape_text(name), TERMINAL_PLAIN);
		table_add(table, format_number(most, bytes), TERMINAL_PLAIN);
		table_add(table, limit ? format_number(used, bytes) : g_strdup("-"),
			  limit && used >= most ? TERMINAL_BAD : TERMINAL_PLAIN);
	}
	table_print(table, stdout, &terminal);
}

static void print_json(GVariant *limits, GPtrArray *devices, guint32 uid)
{
	g_autofree char *text = NULL;
	GVariantBuilder list;
	const char *name;
	GVariantIter iter;
	GVariant *value;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	g_variant_iter_init(&iter, limits);
	while (g_variant_iter_loop(&iter, "{&sv}", &name, &value)) {
		const struct counted *limit = find_counted(name);
		guint64 used = limit ? add_up(limit, devices, uid) : 0;

		g_variant_builder_add_parsed(&list, "{'name': <%s>, 'limit': %v, 'used': <%@mt>}",
					     name, g_variant_new_variant(value),
					     g_variant_new("mt", limit != NULL, used));
	}
	text = json_print(g_variant_new_parsed("{'version': <@u 1>, 'limits': <%v>}",
					       g_variant_builder_end(&list)));
	printf("%s\n", text);
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean json = FALSE, bytes = FALSE;
	const GOptionEntry entries[] = {
		{ "bytes", 'b', 0, G_OPTION_ARG_NONE, &bytes,
		  "Sizes as plain numbers (the default when the output is no terminal)", NULL },
		VERBS_JSON(&json),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GVariant) reply = NULL, value = NULL, limits = NULL;
	g_autoptr(GPtrArray) devices = NULL;
	guint32 uid;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(FALSE, error);
	if (!bus || !bus_get_uid(bus, &uid, error))
		return EXIT_CODE_FAILURE;
	reply = bus_call(bus, UBLK_BUS_MANAGER_PATH, "org.freedesktop.DBus.Properties", "Get",
			 g_variant_new("(ss)", UBLK_BUS_MANAGER_INTERFACE, "Limits"), "(v)", NULL,
			 NULL, error);
	devices = reply ? device_list(bus, error) : NULL;
	if (!devices)
		return EXIT_CODE_FAILURE;
	g_variant_get(reply, "(v)", &value);
	if (!g_variant_is_of_type(value, G_VARIANT_TYPE_VARDICT)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			    "ublkd's answer makes no sense: it does not tell the limits");
		return EXIT_CODE_FAILURE;
	}
	limits = g_steal_pointer(&value);
	if (json)
		print_json(limits, devices, uid);
	else
		print_table(limits, devices, uid, bytes || !isatty(STDOUT_FILENO));
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_limits = {
	.name = "limits",
	.summary = "Show the limits, and what of them is used",
	.description =
		"The administrator sets them in /etc/ublkd/ublkd.conf. USED is what one's own\n"
		"devices use, or for a total everybody's; “-” is what ublkd does not tell.\n"
		"\n"
		"Example:\n"
		"  ublk-client limits",
	.run = run,
};
