/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/stat.h>

#include "bus.h"
#include "device.h"
#include "errors.h"
#include "metrics.h"
#include "verbs.h"

static GVariant *ask(Bus *bus, const char *method, const char *type, GError **error)
{
	return bus_call(bus, UBLK_BUS_MANAGER_PATH, UBLK_BUS_MANAGER_INTERFACE, method,
			g_variant_new("(@a{sv})", bus_no_options()), type, NULL, NULL, error);
}

static char *collect(Bus *bus, GError **error)
{
	g_autoptr(GVariant) limits = NULL;
	g_autoptr(GVariant) allowed = NULL;
	g_autoptr(GVariant) answer = NULL;
	g_autoptr(GVariant) counters = NULL;
	g_autoptr(GPtrArray) devices = NULL;
	MetricsSource source = { .devices = NULL };

	devices = device_list(bus, error);
	if (!devices)
		return NULL;
	limits = ask(bus, "GetLimits", "(a{sv}a{sv})", error);
	if (!limits)
		return NULL;
	answer = ask(bus, "GetCounters", "(a{st})", error);
	if (!answer)
		return NULL;
	allowed = g_variant_get_child_value(limits, 0);
	counters = g_variant_get_child_value(answer, 0);
	g_variant_lookup(allowed, "devices-total", "u", &source.limit);
	source.devices = devices;
	source.counters = counters;
	return metrics_format(&source);
}

/* Not there, from the beginning or by now: what a call says that does not start it. */
static gboolean is_absent(const GError *error)
{
	return g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER) ||
	       g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN);
}

/* A new file takes the old one's place: not a FIFO's, nor, for root, /dev/null's. */
static gboolean check_output(const char *output, GError **error)
{
	struct stat status;

	if (!output || lstat(output, &status) < 0 || S_ISREG(status.st_mode))
		return TRUE;
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
		    "-o %s: that is no regular file, which is what -o replaces; without -o the "
		    "standard output is written to",
		    output);
	return FALSE;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	g_autofree char *output = NULL;
	const GOptionEntry entries[] = {
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
		  "Write to FILE, which is never seen half written", "FILE" },
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autofree char *text = NULL;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error) || !check_output(output, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(FALSE, error);
	if (!bus)
		return EXIT_CODE_FAILURE;
	bus->no_start = TRUE;
	text = collect(bus, error);
	if (!text && is_absent(*error)) {
		g_clear_error(error);
		text = metrics_format(&(MetricsSource){ .devices = NULL });
	}
	if (!text)
		return EXIT_CODE_FAILURE;
	if (!output)
		fputs(text, stdout);
	else if (!g_file_set_contents_full(output, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644,
					   error))
		return EXIT_CODE_FAILURE;
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_metrics = {
	.name = "metrics",
	.summary = "Tell Prometheus about the devices",
	.description =
		"In the text format of Prometheus, for its node exporter: how many devices\n"
		"there are, each one's owner, state and size, and what ublkd has counted. It\n"
		"does not start ublkd. ublk-metrics.timer runs it every 30 seconds.\n"
		"\n"
		"Examples:\n"
		"  ublk-client metrics\n"
		"  ublk-client metrics -o /var/lib/prometheus/node-exporter/ublk.prom",
	.run = run,
};
