/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A user database that is not there yet when ublkd starts costs nobody its limits for long. */
#include <dlfcn.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "daemon/manager.h"
#include "daemon/reload.h"

/* At a start nothing but this line is left out; a reload is refused for it. */
#define MISTAKE "no-such-key"

static gboolean database_fails;
static guint asked, told, mistakes;

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

static void write_settings(const char *path, const char *more)
{
	g_autofree char *text =
		g_strconcat("[group root]\ndevices-per-user=2\n[limits]\n", more, NULL);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void on_reloaded(const GError *error, gpointer user_data)
{
	*(int *)user_data = error ? -1 : 1;
}

/* 1: it was taken; -1: it was refused. */
static int reload(void)
{
	int result = 0;

	reload_begin(on_reloaded, &result);
	while (!result)
		g_main_context_iteration(NULL, TRUE);
	return result;
}

static void asks_until_it_is_told(void)
{
	g_autofree char *directory = g_dir_make_tmp("ublkd-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "ublkd.conf", NULL);
	gint64 end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
	Settings settings;
	guint before;

	write_settings(path, MISTAKE "=1\n");
	database_fails = TRUE;
	reload_init(path, &settings);
	g_assert_false(settings_have_groups(&settings));

	while (g_atomic_int_get(&asked) < 4)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpuint(told, ==, 0);
	g_atomic_int_set(&database_fails, FALSE);
	/* nobody has asked for another file, least of all one with a mistake of its own */
	write_settings(path, MISTAKE "=1\ndevices-per-user=2x\n");
	before = g_atomic_int_get(&asked);
	while (g_atomic_int_get(&asked) < (int)before + 4)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpuint(told, ==, 0);
	write_settings(path, MISTAKE "=1\n");
	/* a mistake that the start has left out is not in the way, nor is it told again */
	while (!told && g_get_monotonic_time() < end)
		g_main_context_iteration(NULL, TRUE);
	g_assert_cmpuint(told, ==, 1);
	g_assert_true(settings_have_groups(&settings));
	g_assert_cmpuint(mistakes, ==, 1);

	/* and no more */
	before = asked;
	g_usleep(100000);
	while (g_main_context_iteration(NULL, FALSE))
		;
	g_assert_cmpuint(g_atomic_int_get(&asked), ==, before);

	/* who reloads is told of it, and it changes nothing, until it is mended */
	write_settings(path, "devices-per-user=7\n" MISTAKE "=1\n");
	g_assert_cmpint(reload(), ==, -1);
	g_assert_cmpuint(mistakes, ==, 2);
	g_assert_cmpuint(settings.user.devices_per_user, ==, 16);
	write_settings(path, "devices-per-user=7\n");
	g_assert_cmpint(reload(), ==, 1);
	g_assert_cmpuint(settings.user.devices_per_user, ==, 7);
	g_assert_cmpuint(told, ==, 2);
	settings_clear(&settings);
	g_unlink(path);
	g_rmdir(directory);
}

/* Of what is told, how often it is the mistake. */
static GLogWriterOutput count(GLogLevelFlags level, const GLogField *fields, gsize n,
			      gpointer unused)
{
	for (gsize i = 0; i < n; i++)
		if (g_str_equal(fields[i].key, "MESSAGE") && strstr(fields[i].value, MISTAKE))
			mistakes++;
	return G_LOG_WRITER_HANDLED;
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_log_set_always_fatal(G_LOG_FATAL_MASK);
	g_log_set_writer_func(count, NULL, NULL);
	g_test_add_func("/reload/asks-until-it-is-told", asks_until_it_is_told);
	return g_test_run();
}
