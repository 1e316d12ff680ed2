/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ublkd: brokers /dev/ublk-control for unprivileged users. */
#include <glib.h>
#include <locale.h>
#include <stdlib.h>

#include "config.h"
#include "daemon.h"
#include "journal.h"

int main(int argc, char **argv)
{
	g_autofree char *conf = NULL;
	gboolean version = FALSE;
	const GOptionEntry entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &conf, "The settings (" UBLKD_CONF ")",
		  "FILE" },
		{ "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL },
		{ NULL },
	};
	g_autoptr(GOptionContext)
		context = g_option_context_new("- block devices in user space for ordinary users");
	g_autoptr(GError) error = NULL;

	setlocale(LC_ALL, "");
	journal_init();
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error)) {
		g_printerr("ublkd: %s\n", error->message);
		return 2;
	}
	if (argc > 1) {
		g_printerr("ublkd: there is no argument \"%s\"\n", argv[1]);
		return 2;
	}
	if (version) {
		g_print("ublkd " UBLKD_VERSION "\n");
		return EXIT_SUCCESS;
	}
	return daemon_run(conf ? conf : UBLKD_CONF);
}
