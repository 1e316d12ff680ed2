/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ublkd.conf: what it says counts, for whom it says it; what is wrong in it is told by its line. */
#include <dlfcn.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "daemon/settings.h"

typedef struct {
	char *directory, *path, *drop_ins;
	Settings settings;
	GPtrArray *problems;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer unused)
{
	fixture->directory = g_dir_make_tmp("ublkd-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->directory, "ublkd.conf", NULL);
	fixture->drop_ins = g_build_filename(fixture->directory, "ublkd.conf.d", NULL);
	fixture->problems = g_ptr_array_new_with_free_func(g_free);
}

static void tear_down(Fixture *fixture, gconstpointer unused)
{
	g_autoptr(GDir) directory = g_dir_open(fixture->drop_ins, 0, NULL);
	const char *name;

	while (directory && (name = g_dir_read_name(directory))) {
		g_autofree char *path = g_build_filename(fixture->drop_ins, name, NULL);

		g_unlink(path);
	}
	g_rmdir(fixture->drop_ins);
	g_unlink(fixture->path);
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	settings_clear(&fixture->settings);
	g_ptr_array_unref(fixture->problems);
	g_free(fixture->directory);
	g_free(fixture->path);
	g_free(fixture->drop_ins);
}

static void write_drop_in(Fixture *fixture, const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(fixture->drop_ins, name, NULL);

	g_mkdir_with_parents(fixture->drop_ins, 0700);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* Read what is there; `text`, if it is not NULL, as the file itself. */
static void load(Fixture *fixture, const char *text)
{
	if (text)
		g_assert_true(g_file_set_contents(fixture->path, text, -1, NULL));
	settings_clear(&fixture->settings);
	g_ptr_array_set_size(fixture->problems, 0);
	settings_load(fixture->path, &fixture->settings, fixture->problems);
}

/* `problem` begins with the line's number, or with the drop-in's name and that. */
static void assert_problem(const Fixture *fixture, guint i, const char *problem)
{
	g_autofree char *expected = !strstr(problem, ".conf:")
					    ? g_strdup_printf("%s:%s", fixture->path, problem)
					    : g_strdup_printf("%s/%s", fixture->drop_ins, problem);

	g_assert_cmpuint(i, <, fixture->problems->len);
	g_assert_cmpstr(g_ptr_array_index(fixture->problems, i), ==, expected);
}

static void has_defaults_without_a_file(Fixture *fixture, gconstpointer unused)
{
	const Settings *settings = &fixture->settings;

	load(fixture, NULL);
	g_assert_cmpuint(settings->user.devices_per_user, ==, 16);
	g_assert_cmpuint(settings->user.queue_memory_per_user, ==, 64 << 20);
	g_assert_cmpuint(settings->user.shared_memory_per_user, ==, 64 << 20);
	g_assert_cmpuint(settings->user.shared_buffers_per_user, ==, 64);
	g_assert_cmpuint(settings->created_ms, ==, 60000);
	g_assert_cmpuint(settings->prompt_ms, ==, 60000);
	g_assert_cmpuint(fixture->problems->len, ==, 0);
}

static void takes_what_it_says(Fixture *fixture, gconstpointer unused)
{
	const Settings *settings = &fixture->settings;

	load(fixture, "# a comment\n\n [limits] \ndevices-per-user = 3\r\n"
		      "queue-memory-per-user=2G\n[timeouts]\ncreated=5");
	g_assert_cmpuint(fixture->problems->len, ==, 0);
	g_assert_cmpuint(settings->user.devices_per_user, ==, 3);
	g_assert_cmpuint(settings->user.queue_memory_per_user, ==, 2ULL << 30);
	g_assert_cmpuint(settings->created_ms, ==, 5000);
	g_assert_cmpuint(settings->devices_total, ==, 60);
}

static void tells_what_is_wrong(Fixture *fixture, gconstpointer unused)
{
	static const struct {
		const char *text, *problem;
	} wrong[] = {
		{ "[limits]\ndevices-per-user=many\n",
		  "2: devices-per-user=many is not a whole number from 0 to 1048576" },
		{ "[limits]\n\nshared-buffers-per-user=257\n",
		  "3: shared-buffers-per-user=257 is not a whole number from 0 to 256" },
		{ "[limits]\ndevices-per-user=-1\n",
		  "2: devices-per-user=-1 is not a whole number from 0 to 1048576" },
		{ "[limits]\ndevices-per-user=\n",
		  "2: devices-per-user= is not a whole number from 0 to 1048576" },
		{ "[limits]\ndevices-per-user=16K\n",
		  "2: devices-per-user=16K is not a whole number from 0 to 1048576" },
		{ "[limits]\ndevices-per-user=99999999999\n",
		  "2: devices-per-user=99999999999 is not a whole number from 0 to 1048576" },
		{ "[limits]\nqueue-memory-per-user=99999999999T\n",
		  "2: queue-memory-per-user=99999999999T is not a number of bytes: digits, and K, "
		  "M, G or T" },
		{ "[limits]\nqueue-memory-per-user=1 GB\n",
		  "2: queue-memory-per-user=1 GB is not a number of bytes: digits, and K, M, G or "
		  "T" },
		{ "[limits]\ncolour=red\n", "2: there is no key \"colour\" in [limits]" },
		{ "[limits]\ncreated=5\n", "2: there is no key \"created\" in [limits]" },
		{ "[timeouts]\ncreated=0\n", "2: created=0 is not a whole number from 1 to 86400" },
		/* of what is in it nothing is told */
		{ "[timeout]\ncreated=5\nx=y\n",
		  "1: there is no [timeout]; there are [limits], [timeouts], [user NAME] and "
		  "[group NAME]" },
		{ "[user]\ndevices-per-user=5\n",
		  "1: there is no [user]; there are [limits], [timeouts], [user NAME] and [group "
		  "NAME]" },
		{ "[user no.such.user]\ndevices-per-user=5\n",
		  "1: there is no user \"no.such.user\"" },
		{ "[group no.such.group]\ndevices-per-user=5\n",
		  "1: there is no group \"no.such.group\"" },
		{ "[user 1000]\ndevices-total=5\n",
		  "2: there is no key \"devices-total\" in [user 1000]" },
		{ "[limits]\nno group\n",
		  "2: \"no group\" is neither [GROUP] nor KEY=VALUE nor a # and a comment" },
		{ "[limits\n",
		  "1: \"[limits\" is neither [GROUP] nor KEY=VALUE nor a # and a comment" },
		{ "created=5\n", "1: created stands before the first [GROUP]" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
		const Settings *settings = &fixture->settings;

		load(fixture, wrong[i].text);
		assert_problem(fixture, 0, wrong[i].problem);
		g_assert_cmpuint(fixture->problems->len, ==, 1);
		g_assert_cmpuint(settings->user.devices_per_user, ==, 16);
		g_assert_cmpuint(settings->user.queue_memory_per_user, ==, 64 << 20);
		g_assert_cmpuint(settings->created_ms, ==, 60000);
	}
}

static int database_error;

/* In place of the C library's, which it asks unless the database is to fail. */
int getgrnam_r(const char *name, struct group *entry, char *strings, size_t size,
	       struct group **found)
{
	int (*ask)(const char *, struct group *, char *, size_t, struct group **) =
		dlsym(RTLD_NEXT, "getgrnam_r");

	*found = NULL;
	return database_error ? database_error : ask(name, entry, strings, size, found);
}

/* A database that does not answer has not said that there is no such group. */
static void tells_who_cannot_be_looked_up(Fixture *fixture, gconstpointer unused)
{
	static const char text[] = "[group root]\ndevices-per-user=2\n";

	load(fixture, text);
	g_assert_cmpuint(fixture->problems->len, ==, 0);
	g_assert_false(fixture->settings.unsure);
	database_error = EIO;
	load(fixture, text);
	assert_problem(fixture, 0, "1: cannot look up group \"root\": Input/output error");
	g_assert_true(fixture->settings.unsure);
	/* one of the ways to say that */
	database_error = ESRCH;
	load(fixture, text);
	assert_problem(fixture, 0, "1: there is no group \"root\"");
	g_assert_false(fixture->settings.unsure);
	database_error = 0;
}

/* A reader of text would not see what stands behind the 0. */
static void refuses_zero_bytes(Fixture *fixture, gconstpointer unused)
{
	static const char text[] = "[limits]\ndevices-per-user=1\0002\ndevices-total=9\n";

	g_assert_true(g_file_set_contents(fixture->path, text, sizeof(text) - 1, NULL));
	load(fixture, NULL);
	assert_problem(fixture, 0, "2: there is a zero byte in this line");
	g_assert_cmpuint(fixture->settings.user.devices_per_user, ==, 16);
	g_assert_cmpuint(fixture->settings.devices_total, ==, 9);
}

/* What cannot be read is told of, and is not the same as what is not there. */
static void tells_of_an_unreadable_file(Fixture *fixture, gconstpointer unused)
{
	g_assert_cmpint(g_mkdir(fixture->path, 0700), ==, 0);
	load(fixture, NULL);
	g_assert_cmpuint(fixture->problems->len, ==, 1);
	g_assert_true(g_str_has_prefix(g_ptr_array_index(fixture->problems, 0), fixture->path));
	g_assert_cmpuint(fixture->settings.user.devices_per_user, ==, 16);
	g_rmdir(fixture->path);
}

static void drop_ins_come_later(Fixture *fixture, gconstpointer unused)
{
	write_drop_in(fixture, "20-b.conf", "[limits]\ndevices-total=20\ndevices-per-user=2\n");
	write_drop_in(fixture, "10-a.conf", "devices-total=9\n[limits]\ndevices-total=10\n");
	write_drop_in(fixture, "30-c.conf.bak", "[limits]\ndevices-total=30\n");
	write_drop_in(fixture, ".40-d.conf", "[limits]\ndevices-total=40\n");
	load(fixture, "[limits]\ndevices-per-user=1\nprompts-total=7\n");
	/* a file begins without a group, whatever the one before it ended with */
	assert_problem(fixture, 0, "10-a.conf:1: devices-total stands before the first [GROUP]");
	g_assert_cmpuint(fixture->problems->len, ==, 1);
	g_assert_cmpuint(fixture->settings.devices_total, ==, 20);
	g_assert_cmpuint(fixture->settings.user.devices_per_user, ==, 2);
	g_assert_cmpuint(fixture->settings.prompts_total, ==, 7);
}

static UserLimits limits_of(const Fixture *fixture, uid_t uid, gid_t first, gid_t second)
{
	g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(gid_t));

	g_array_append_val(groups, first);
	g_array_append_val(groups, second);
	return settings_get_limits(&fixture->settings, uid, groups);
}

static void users_come_before_groups(Fixture *fixture, gconstpointer unused)
{
	load(fixture, "[user 1000]\ndevices-per-user=1\n"
		      "[group 50]\ndevices-per-user=5\nshared-memory-per-user=5K\n"
		      "[limits]\ndevices-per-user=9\nshared-buffers-per-user=9\n"
		      "[group 60]\ndevices-per-user=6\n");
	g_assert_cmpuint(fixture->problems->len, ==, 0);
	g_assert_true(settings_have_groups(&fixture->settings));
	g_assert_cmpuint(limits_of(fixture, 1000, 50, 60).devices_per_user, ==, 1);
	/* each key by itself */
	g_assert_cmpuint(limits_of(fixture, 1000, 50, 60).shared_memory_per_user, ==, 5 << 10);
	g_assert_cmpuint(limits_of(fixture, 1000, 50, 60).shared_buffers_per_user, ==, 9);
	/* the last of two groups, in whatever order the user is in them */
	g_assert_cmpuint(limits_of(fixture, 1001, 60, 50).devices_per_user, ==, 6);
	g_assert_cmpuint(limits_of(fixture, 1001, 50, 51).devices_per_user, ==, 5);
	/* a number is not taken for one of the other kind */
	g_assert_cmpuint(limits_of(fixture, 50, 1000, 1000).devices_per_user, ==, 9);
	g_assert_cmpuint(settings_get_limits(&fixture->settings, 1001, NULL).devices_per_user, ==,
			 9);
	g_assert_cmpuint(fixture->settings.user.devices_per_user, ==, 9);

	load(fixture, "[user 1000]\ndevices-per-user=1\n");
	g_assert_false(settings_have_groups(&fixture->settings));
}

static void finds_users_by_name(Fixture *fixture, gconstpointer unused)
{
	load(fixture, "[user root]\ndevices-per-user=1\n[group root]\nshared-buffers-per-user=2\n");
	g_assert_cmpuint(fixture->problems->len, ==, 0);
	g_assert_cmpuint(limits_of(fixture, 0, 1, 1).devices_per_user, ==, 1);
	g_assert_cmpuint(limits_of(fixture, 1000, 1, 0).devices_per_user, ==, 16);
	g_assert_cmpuint(limits_of(fixture, 1000, 1, 0).shared_buffers_per_user, ==, 2);
}

/* That they may have as much as everybody is not what the administrator has meant. */
static void limits_of_users_fail_closed(Fixture *fixture, gconstpointer unused)
{
	load(fixture, "[user 1000]\ndevices-per-user=two\n[group 50]\nshared-memory-per-user=x\n");
	assert_problem(fixture, 0,
		       "2: devices-per-user=two is not a whole number from 0 to 1048576");
	g_assert_cmpuint(fixture->problems->len, ==, 2);
	g_assert_cmpuint(limits_of(fixture, 1000, 1, 1).devices_per_user, ==, 0);
	g_assert_cmpuint(limits_of(fixture, 1001, 50, 1).shared_memory_per_user, ==, 0);
	g_assert_cmpuint(limits_of(fixture, 1001, 50, 1).devices_per_user, ==, 16);
}

static void describes_a_users(Fixture *fixture, gconstpointer unused)
{
	g_autoptr(GVariant) all = NULL;
	g_autoptr(GVariant) users = NULL;
	UserLimits limits;
	guint number;
	guint64 size;

	load(fixture, "[limits]\ndevices-total=50\n[user 1000]\ndevices-per-user=1\n"
		      "shared-memory-per-user=5G\n");
	limits = limits_of(fixture, 1000, 1, 1);
	all = g_variant_ref_sink(settings_describe(&fixture->settings));
	users = g_variant_ref_sink(settings_describe_user(&limits, 50));
	g_assert_true(g_variant_lookup(all, "devices-per-user", "u", &number));
	g_assert_cmpuint(number, ==, 16);
	g_assert_true(g_variant_lookup(all, "prompts-total", "u", &number));
	g_assert_true(g_variant_lookup(users, "devices-per-user", "u", &number));
	g_assert_cmpuint(number, ==, 1);
	g_assert_true(g_variant_lookup(users, "shared-memory-per-user", "t", &size));
	g_assert_cmpuint(size, ==, 5ULL << 30);
	g_assert_true(g_variant_lookup(users, "devices-total", "u", &number));
	g_assert_cmpuint(number, ==, 50);
	g_assert_cmpuint(g_variant_n_children(users), ==, 6);
}

/* The file that is installed shows the defaults behind its #. */
static void installed_file_tells_the_truth(Fixture *fixture, gconstpointer unused)
{
	g_autofree char *path = g_test_build_filename(G_TEST_DIST, "daemon", "ublkd.conf", NULL);
	g_autofree char *text = NULL;
	g_autofree char *active = NULL;
	g_autoptr(GRegex) key = g_regex_new("^#([a-z-]+=)", G_REGEX_MULTILINE, 0, NULL);
	Settings said;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	active = g_regex_replace(key, text, -1, 0, "\\1", 0, NULL);
	load(fixture, active);
	g_assert_cmpuint(fixture->problems->len, ==, 0);
	said = fixture->settings;
	g_assert_cmpuint(said.sections->len, ==, 0);
	g_unlink(fixture->path);
	fixture->settings = (Settings){ 0 };
	load(fixture, NULL);
	g_clear_pointer(&said.sections, g_array_unref);
	g_assert_cmpmem(&said, G_STRUCT_OFFSET(Settings, sections), &fixture->settings,
			G_STRUCT_OFFSET(Settings, sections));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(Fixture *fixture, gconstpointer unused);
	} tests[] = {
		{ "/settings/has-defaults-without-a-file", has_defaults_without_a_file },
		{ "/settings/takes-what-it-says", takes_what_it_says },
		{ "/settings/tells-what-is-wrong", tells_what_is_wrong },
		{ "/settings/tells-who-cannot-be-looked-up", tells_who_cannot_be_looked_up },
		{ "/settings/refuses-zero-bytes", refuses_zero_bytes },
		{ "/settings/tells-of-an-unreadable-file", tells_of_an_unreadable_file },
		{ "/settings/drop-ins-come-later", drop_ins_come_later },
		{ "/settings/users-come-before-groups", users_come_before_groups },
		{ "/settings/finds-users-by-name", finds_users_by_name },
		{ "/settings/limits-of-users-fail-closed", limits_of_users_fail_closed },
		{ "/settings/describes-a-users", describes_a_users },
		{ "/settings/installed-file-tells-the-truth", installed_file_tells_the_truth },
	};

	g_test_init(&argc, &argv, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].test, tear_down);
	return g_test_run();
}
