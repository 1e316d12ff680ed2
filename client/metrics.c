/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "metrics.h"

#include "device.h"

/* A metric's head; its samples follow it. */
static void begin(GString *text, const char *name, const char *type, const char *help)
{
	g_string_append_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add(GString *text, const char *name, guint64 value)
{
	g_string_append_printf(text, "%s %" G_GUINT64_FORMAT "\n", name, value);
}

/* The value of a label: nothing that it contains ends it. */
static char *quote(const char *value)
{
	g_autofree char *valid = g_utf8_make_valid(value, -1);
	GString *quoted = g_string_new("\"");

	for (const char *at = valid; *at; at++) {
		if (*at == '\n')
			g_string_append(quoted, "\\n");
		else if (*at == '"' || *at == '\\')
			g_string_append_printf(quoted, "\\%c", *at);
		else
			g_string_append_c(quoted, *at);
	}
	g_string_append_c(quoted, '"');
	return g_string_free(g_steal_pointer(&quoted), FALSE);
}

/* As node_exporter has it in node_disk_…, so that both can be joined. */
static char *quote_node(const Device *device)
{
	g_autofree char *node = g_path_get_basename(device->block_device);

	return quote(node);
}

static void add_info(GString *text, const GPtrArray *devices)
{
	begin(text, "ublk_device_info", "gauge",
	      "A device; whose it is, what serves it, its state.");
	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];
		g_autofree char *node = quote_node(device);
		g_autofree char *name = quote(device->name);
		g_autofree char *target = quote(device->target);
		g_autofree char *state = quote(device->state);

		g_string_append_printf(text,
				       "ublk_device_info{device=%s,name=%s,owner=\"%u\",target=%s,"
				       "state=%s,read_only=\"%s\"} 1\n",
				       node, name, device->owner_uid, target, state,
				       device->read_only ? "true" : "false");
	}
}

static guint64 get_size(const Device *device)
{
	return device->size;
}

static guint64 get_shared_memory(const Device *device)
{
	return device->shared_memory;
}

static guint64 get_created(const Device *device)
{
	return device->created_at / G_USEC_PER_SEC;
}

static void add_devices(GString *text, const GPtrArray *devices)
{
	static const struct {
		const char *name, *help;
		guint64 (*get)(const Device *device);
	} metrics[] = {
		{ "ublk_device_size_bytes", "A device's size.", get_size },
		{ "ublk_device_shared_memory_bytes", "Memory that is shared with a device.",
		  get_shared_memory },
		{ "ublk_device_created_timestamp_seconds", "When a device was made.", get_created },
	};

	add_info(text, devices);
	for (gsize i = 0; i < G_N_ELEMENTS(metrics); i++) {
		begin(text, metrics[i].name, "gauge", metrics[i].help);
		for (guint n = 0; n < devices->len; n++) {
			g_autofree char *node = quote_node(devices->pdata[n]);

			g_string_append_printf(text, "%s{device=%s} %" G_GUINT64_FORMAT "\n",
					       metrics[i].name, node,
					       metrics[i].get(devices->pdata[n]));
		}
	}
}

static void add_counters(GString *text, GVariant *counters)
{
	const char *event;
	GVariantIter iter;
	guint64 count;

	begin(text, "ublkd_events_total", "counter",
	      "What has happened since ublkd was started, by the names of Manager.GetCounters.");
	g_variant_iter_init(&iter, counters);
	while (g_variant_iter_next(&iter, "{&st}", &event, &count)) {
		g_autofree char *label = quote(event);

		g_string_append_printf(text, "ublkd_events_total{event=%s} %" G_GUINT64_FORMAT "\n",
				       label, count);
	}
}

char *metrics_format(const MetricsSource *source)
{
	g_autoptr(GString) text = g_string_new(NULL);

	begin(text, "ublkd_up", "gauge",
	      "Whether ublkd runs: the first call on the bus starts it.");
	add(text, "ublkd_up", source->devices != NULL);
	if (source->devices) {
		begin(text, "ublk_devices", "gauge", "How many devices there are.");
		add(text, "ublk_devices", source->devices->len);
		begin(text, "ublk_devices_limit", "gauge", "devices-total of ublkd.conf.");
		add(text, "ublk_devices_limit", source->limit);
		add_devices(text, source->devices);
		add_counters(text, source->counters);
	}
	return g_string_free(g_steal_pointer(&text), FALSE);
}
