/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A user database that is not there yet when ublkd starts costs nobody its limits for long. */
#include <dlfcn.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <unistd.h>

#include "daemon/manager.h"
#include "daemon/reload.h"

static gboolean database_fails;
static guint asked, told;

/* In place of the C library's, which it asks unless the database is to fail. */
int getgrnam_r(const char *name, struct group *entry, char *strings, size_t size,
	       struct group **found)
{
	int (*ask)(const char *, struct group *, char *, size_t, struct group **) =
		dlsym(RTLD_NEXT, "getgrnam_r");

	g_atomic_int_inc(&asked);
	*found = NULL;
	return g_atomic_int_get(&database_fails) ? EIO : ask(name, entry, strings, size, found);
}

/* In place of GLib's: a thousand times as fast. */
guint g_timeout_add_seconds(guint interval, GSourceFunc function, gpointer data)
{
	return g_timeout_add(interval, function, data);
}

/* In place of the manager's: there is no bus. */
void manager_tell_limits(void)
{
	told++;
}

static void asks_until_it_is_told(void)
{
	g_autofree char *directory = g_dir_make_tmp("ublkd-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "ublkd.conf", NULL);
	Settings settings;
	guint before;

	g_assert_true(g_file_set_contents(path, "[group root]\ndevices-per-user=2\n", -1, NULL));
	database_fails = TRUE;
	reload_init(path, &settings);
	g_assert_false(settings_have_groups(&settings));

	while (g_atomic_int_get(&asked) < 4)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpuint(told, ==, 0);
	g_atomic_int_set(&database_fails, FALSE);
	while (!told)
		g_main_context_iteration(NULL, TRUE);
	g_assert_true(settings_have_groups(&settings));

	/* and no more */
	before = asked;
	g_usleep(100000);
	while (g_main_context_iteration(NULL, FALSE))
		;
	g_assert_cmpuint(g_atomic_int_get(&asked), ==, before);
	settings_clear(&settings);
	g_unlink(path);
	g_rmdir(directory);
}

static GLogWriterOutput drop(GLogLevelFlags level, const GLogField *fields, gsize n,
			     gpointer unused)
{
	return G_LOG_WRITER_HANDLED;
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_log_set_always_fatal(G_LOG_FATAL_MASK);
	g_log_set_writer_func(drop, NULL, NULL);
	g_test_add_func("/reload/asks-until-it-is-told", asks_until_it_is_told);
	return g_test_run();
}
