/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a user may have, and has.
 */
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "bus.h"
#include "config.h"
#include "errors.h"
#include "json.h"
#include "output.h"
#include "parse.h"
#include "table.h"
#include "verbs.h"

/* FALSE: it is no number that this version knows. */
static gboolean get_number(GVariant *numbers, const char *key, guint64 *number)
{
	guint32 small;

	if (g_variant_lookup(numbers, key, "t", number))
		return TRUE;
	if (!g_variant_lookup(numbers, key, "u", &small))
		return FALSE;
	*number = small;
	return TRUE;
}

/* Sizes have 64 bits on the bus, and nothing else has. */
static char *format_number(guint64 number, gboolean is_size, gboolean plain)
{
	return is_size && !plain ? output_format_size(number)
				 : g_strdup_printf("%" G_GUINT64_FORMAT, number);
}

static void print_table(GVariant *limits, GVariant *use, gboolean plain,
			const struct terminal *terminal)
{
	static const struct table_column columns[] = {
		{ .heading = "LIMIT" },
		{ .heading = "AT MOST", .right = TRUE },
		{ .heading = "USED", .right = TRUE },
	};
	g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
	const char *name;
	GVariantIter iter;
	GVariant *value;

	g_variant_iter_init(&iter, limits);
	while (g_variant_iter_loop(&iter, "{&sv}", &name, &value)) {
		gboolean is_size = g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64);
		guint64 most, used = 0;
		gboolean known = get_number(use, name, &used);

		if (!get_number(limits, name, &most))
			continue;
		table_add(table, output_escape_text(name), TERMINAL_PLAIN);
		table_add(table, format_number(most, is_size, plain), TERMINAL_PLAIN);
		table_add(table, known ? format_number(used, is_size, plain) : g_strdup("-"),
			  known && used >= most ? TERMINAL_BAD : TERMINAL_PLAIN);
	}
	table_print(table, stdout, terminal);
}

static void print_json(GVariant *limits, GVariant *use)
{
	g_autofree char *text = NULL;
	GVariantBuilder list;
	const char *name;
	GVariantIter iter;
	GVariant *value;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	g_variant_iter_init(&iter, limits);
	while (g_variant_iter_loop(&iter, "{&sv}", &name, &value)) {
		guint64 used = 0;
		gboolean known = get_number(use, name, &used);

		g_variant_builder_add_parsed(&list, "{'name': <%s>, 'limit': <%v>, 'used': <%@mt>}",
					     name, value, g_variant_new("mt", known, used));
	}
	text = json_print(g_variant_new_parsed("{'version': <@u 1>, 'limits': <%v>}",
					       g_variant_builder_end(&list)));
	printf("%s\n", text);
}

/* A name of this machine's, or a number. */
static gboolean find_user(const char *word, guint32 *uid, GError **error)
{
	const struct passwd *user = output_is_namespaced() ? NULL : getpwnam(word);
	guint64 number;

	if (!user && !parse_number(word, G_MAXUINT32, &number, NULL)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND, "there is no user “%s”",
			    word);
		return FALSE;
	}
	*uid = user ? user->pw_uid : (guint32)number;
	return TRUE;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean json = FALSE, bytes = FALSE;
	struct terminal terminal = terminal_get(STDOUT_FILENO);
	const GOptionEntry entries[] = {
		{ "bytes", 'b', 0, G_OPTION_ARG_NONE, &bytes,
		  "Sizes as plain numbers (the default when the output is no terminal)", NULL },
		VERBS_JSON(&json),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Bus) bus = NULL;
	g_autoptr(GVariant) reply = NULL, limits = NULL, use = NULL;
	GVariantBuilder options;
	guint32 uid = 0;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	if (argc > 1 && !find_user(argv[1], &uid, error))
		return EXIT_CODE_NOT_FOUND;
	bus = bus_connect(FALSE, error);
	if (!bus)
		return EXIT_CODE_FAILURE;
	g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
	if (argc > 1)
		g_variant_builder_add(&options, "{sv}", UBLK_OPT_OWNER, g_variant_new_uint32(uid));
	reply = bus_call(bus, UBLK_BUS_MANAGER_PATH, UBLK_BUS_MANAGER_INTERFACE, "GetLimits",
			 g_variant_new("(a{sv})", &options), "(a{sv}a{sv})", NULL, NULL, error);
	if (!reply)
		return EXIT_CODE_FAILURE;
	g_variant_get(reply, "(@a{sv}@a{sv})", &limits, &use);
	if (json)
		print_json(limits, use);
	else
		print_table(limits, use, bytes || !terminal.present, &terminal);
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_limits = {
	.name = "limits",
	.arguments = "[USER]",
	.max_words = 1,
	.summary = "Show what one may have, and has",
	.description = "The limits of oneself, or of another user, which the administrator sets "
		       "in\n" UBLKD_CONF ",\n"
		       "and how much of each is used: of devices-total by all users together.\n"
		       "\n"
		       "Example:\n"
		       "  ublk-client limits",
	.run = run,
};
