/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bus.h"
#include "driver.h"
#include "errors.h"
#include "json.h"
#include "verbs.h"

/* What FeatureTable says of a feature's fate on an ordinary user's device, for people. */
static const char *fate_in_words(const char *fate)
{
	static const struct {
		const char *fate, *words;
	} all[] = {
		{ "allowed", "yes" },
		{ "implied", "always" },
		{ "refused", "no" },
		{ "cleared", "ignored" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
		if (g_str_equal(fate, all[i].fate))
			return all[i].words;
	return fate;
}

static void print_table(GVariant *table, const char *const *present)
{
	const char *name, *since, *fate, *why;
	GVariantIter iter;

	printf("%-22s %-6s %-6s %-9s %s\n", "FEATURE", "HERE", "LINUX", "ORDINARY", "WHAT IT IS");
	g_variant_iter_init(&iter, table);
	while (g_variant_iter_next(&iter, "(&s&s&s&s)", &name, &since, &fate, &why))
		printf("%-22s %-6s %-6s %-9s %s\n", name,
		       g_strv_contains(present, name) ? "yes" : "no", since, fate_in_words(fate),
		       why);
}

static void print_json(GVariant *table, const char *const *present)
{
	const char *name, *since, *fate, *why;
	GVariantBuilder features;
	g_autofree char *text = NULL;
	GVariantIter iter;

	g_variant_builder_init(&features, G_VARIANT_TYPE("aa{sv}"));
	g_variant_iter_init(&iter, table);
	while (g_variant_iter_next(&iter, "(&s&s&s&s)", &name, &since, &fate, &why))
		g_variant_builder_add_parsed(
			&features,
			"{'name': <%s>, 'present': <%b>, 'since': <%s>, 'unprivileged': <%s>, "
			"'description': <%s>}",
			name, g_strv_contains(present, name), since, fate, why);
	text = json_print(g_variant_new_parsed("{'version': <@u 1>, 'features': <%v>}",
					       g_variant_builder_end(&features)));
	printf("%s\n", text);
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean json = FALSE;
	const GOptionEntry entries[] = {
		VERBS_JSON(&json),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GVariant) reply = NULL, properties = NULL, table = NULL;
	g_autofree const char **present = NULL;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	bus = bus_connect(FALSE, error);
	if (!bus)
		return EXIT_CODE_FAILURE;
	reply = bus_call(bus, UBLK_BUS_MANAGER_PATH, "org.freedesktop.DBus.Properties", "GetAll",
			 g_variant_new("(s)", UBLK_BUS_MANAGER_INTERFACE), "(a{sv})", NULL, NULL,
			 error);
	if (!reply)
		return EXIT_CODE_FAILURE;
	properties = g_variant_get_child_value(reply, 0);
	table = g_variant_lookup_value(properties, "FeatureTable", G_VARIANT_TYPE("a(ssss)"));
	if (!table || !g_variant_lookup(properties, "KernelFeatures", "^a&s", &present)) {
		g_set_error(
			error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			"ublkd's answer makes no sense: it does not tell the kernel's features");
		return EXIT_CODE_FAILURE;
	}
	if (json)
		print_json(table, present);
	else
		print_table(table, present);
	if (!*present) {
		g_autofree char *remedy = driver_describe_here();

		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			    "there is no ublk driver in the kernel (module ublk_drv, "
			    "CONFIG_BLK_DEV_UBLK)%s%s",
			    remedy ? "; " : "", remedy ? remedy : "");
		return EXIT_CODE_FAILURE;
	}
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_features = {
	.name = "features",
	.summary = "Show what the kernel's driver can do",
	.description =
		"HERE: whether this kernel has it. LINUX: the version that brought it. ORDINARY: "
		"what becomes of it\non a device of an ordinary user: yes (can be used), always, "
		"no (refused), ignored.\n\nExample:\n  ublk-client features",
	.run = run,
};
