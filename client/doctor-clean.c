/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands that remove leftovers. They name a device by its number, which may be another one's
 * by the time that a command has its turn.
 */
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "errors.h"

/* Look again, and ask ublkd again: it may know by now what it did not. */
static gboolean is_still_left(const Doctor *doctor, const char *remedy)
{
	g_autoptr(Doctor) now = doctor_new(doctor->root, doctor->release, doctor->contained);

	now->bus = doctor->bus ? bus_connect(FALSE, NULL) : NULL;
	doctor_check_leftovers(now);
	for (guint i = 0; i < now->findings->len; i++) {
		const Finding *finding = now->findings->pdata[i];

		if (finding->cleans && strcmp(finding->remedy, remedy) == 0)
			return TRUE;
	}
	return FALSE;
}

/* The standard output is for what was found. */
static void run(const char *remedy)
{
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) argv = NULL;
	int status;

	g_printerr("%s\n", remedy);
	if (!g_shell_parse_argv(remedy, NULL, &argv, &error) ||
	    !g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
			  NULL, NULL, NULL, &status, &error) ||
	    !g_spawn_check_wait_status(status, &error))
		g_printerr("%s failed: %s\n", argv ? argv[0] : remedy, error->message);
}

gboolean doctor_clean(const Doctor *doctor, GError **error)
{
	for (guint i = 0; i < doctor->findings->len; i++) {
		const Finding *finding = doctor->findings->pdata[i];

		if (!finding->cleans)
			continue;
		if (geteuid() != 0) {
			g_set_error(error, CLIENT_ERROR, EXIT_CODE_NOT_AUTHORIZED,
				    "leftovers are root's to remove: sudo ublk-client doctor "
				    "--clean");
			return FALSE;
		}
		if (is_still_left(doctor, finding->remedy))
			run(finding->remedy);
	}
	return TRUE;
}
