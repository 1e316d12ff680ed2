/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ublkd.conf: what it says counts, what is wrong in it is told and has its default. */
#include <glib/gstdio.h>
#include <unistd.h>

#include "daemon/settings.h"

static guint warnings;

static GLogWriterOutput count_warnings(GLogLevelFlags level, const GLogField *fields, gsize n,
				       gpointer unused)
{
	if (level & G_LOG_LEVEL_WARNING)
		warnings++;
	return G_LOG_WRITER_HANDLED;
}

static void load(const char *text, Settings *settings)
{
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("ublkd-XXXXXX.conf", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	close(fd);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	warnings = 0;
	settings_load(path, settings);
	g_unlink(path);
}

static void has_defaults_without_a_file(void)
{
	Settings settings;

	warnings = 0;
	settings_load("/nonexistent/ublkd.conf", &settings);
	g_assert_cmpuint(settings.devices_per_user, ==, 16);
	g_assert_cmpuint(settings.queue_memory_per_user, ==, 64 << 20);
	g_assert_cmpuint(settings.shared_memory_per_user, ==, 64 << 20);
	g_assert_cmpuint(settings.shared_buffers_per_user, ==, 64);
	g_assert_cmpuint(settings.created_ms, ==, 60000);
	g_assert_cmpuint(warnings, ==, 0);
}

static void takes_what_it_says(void)
{
	Settings settings;

	load("[limits]\ndevices-per-user=3\nqueue-memory-per-user=2G\n[timeouts]\ncreated=5\n",
	     &settings);
	g_assert_cmpuint(settings.devices_per_user, ==, 3);
	g_assert_cmpuint(settings.queue_memory_per_user, ==, 2ULL << 30);
	g_assert_cmpuint(settings.created_ms, ==, 5000);
	g_assert_cmpuint(settings.devices_total, ==, 60);
	g_assert_cmpuint(warnings, ==, 0);
}

static void tells_what_is_wrong(void)
{
	static const char *const wrong[] = {
		"[limits]\ndevices-per-user=many\n",
		"[limits]\nshared-buffers-per-user=257\n",
		"[limits]\ndevices-per-user=-1\n",
		"[limits]\ndevices-per-user=16K\n",
		"[limits]\ndevices-per-user=99999999999\n",
		"[limits]\nqueue-memory-per-user=99999999999T\n",
		"[limits]\ncolour=red\n",
		"[timeouts]\ncreated=0\n",
		"[timeout]\ncreated=5\n",
		"no group\n",
	};

	for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
		Settings settings;

		load(wrong[i], &settings);
		g_assert_cmpuint(warnings, ==, 1);
		g_assert_cmpuint(settings.devices_per_user, ==, 16);
		g_assert_cmpuint(settings.queue_memory_per_user, ==, 64 << 20);
		g_assert_cmpuint(settings.created_ms, ==, 60000);
	}
}

/* The file that is installed shows the defaults behind its #. */
static void installed_file_tells_the_truth(void)
{
	g_autofree char *path = g_test_build_filename(G_TEST_DIST, "daemon", "ublkd.conf", NULL);
	g_autofree char *text = NULL;
	g_autofree char *active = NULL;
	g_autoptr(GRegex) key = g_regex_new("^#([a-z-]+=)", G_REGEX_MULTILINE, 0, NULL);
	Settings said, fallback;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	active = g_regex_replace(key, text, -1, 0, "\\1", 0, NULL);
	load(active, &said);
	g_assert_cmpuint(warnings, ==, 0);
	settings_load("/nonexistent", &fallback);
	g_assert_cmpmem(&said, sizeof(said), &fallback, sizeof(fallback));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_log_set_writer_func(count_warnings, NULL, NULL);
	g_log_set_always_fatal(G_LOG_FATAL_MASK);
	g_test_add_func("/settings/has-defaults-without-a-file", has_defaults_without_a_file);
	g_test_add_func("/settings/takes-what-it-says", takes_what_it_says);
	g_test_add_func("/settings/tells-what-is-wrong", tells_what_is_wrong);
	g_test_add_func("/settings/installed-file-tells-the-truth", installed_file_tells_the_truth);
	return g_test_run();
}
