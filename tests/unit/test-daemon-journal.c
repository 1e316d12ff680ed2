/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes to the journal: events have their fields, what users put into a line stays in that
 * line, and no user has more than so many of them.
 */
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/audit.h"
#include "daemon/journal.h"

static GPtrArray *lines; /* of GHashTable: field → value */

static GLogWriterOutput keep(GLogLevelFlags level, const GLogField *fields, gsize n,
			     gpointer unused)
{
	GHashTable *line = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);

	for (gsize i = 0; i < n; i++) {
		/* GLib then knows the length, and journald that a newline is no end */
		g_assert_cmpint(fields[i].length, ==, -1);
		/* no field is there twice */
		g_assert_true(g_hash_table_insert(line, (gpointer)fields[i].key,
						  g_strdup(fields[i].value)));
	}
	g_ptr_array_add(lines, line);
	return G_LOG_WRITER_HANDLED;
}

static const char *field(guint line, const char *key)
{
	g_assert_cmpuint(line, <, lines->len);
	return g_hash_table_lookup(g_ptr_array_index(lines, line), key);
}

static Caller caller = { .sender = (char *)":1.7", .uid = 1000, .pid = 77 };
static Device device = { .id = 3, .uid = 1001, .name = (char *)"disk", .server_pid = 99 };

static void has_its_fields(void)
{
	g_ptr_array_set_size(lines, 0);
	journal_tell(JOURNAL_GOES, &(JournalAbout){ .device = &device }, "device %u goes", 3U);
	g_assert_cmpstr(field(0, "MESSAGE"), ==, "device 3 goes");
	g_assert_cmpstr(field(0, "MESSAGE_ID"), ==, "4aba2e840e9549e69c3fe1cd526c3d67");
	g_assert_cmpstr(field(0, "PRIORITY"), ==, "5");
	g_assert_cmpstr(field(0, "UBLK_ACTION"), ==, "delete");
	g_assert_cmpstr(field(0, "UBLK_DEVICE"), ==, "3");
	g_assert_cmpstr(field(0, "UBLK_NAME"), ==, "disk");
	g_assert_cmpstr(field(0, "UBLK_OWNER"), ==, "1001");
	g_assert_cmpstr(field(0, "UBLK_SERVER_PID"), ==, "99");
	/* who that is must not be guessed */
	g_assert_null(field(0, "UBLK_CALLER_UID"));
	g_assert_null(field(0, "OBJECT_PID"));

	journal_tell(JOURNAL_STAYS,
		     &(JournalAbout){ .caller = &caller, .action = "x", .polkit = "p" }, "%s", "");
	g_assert_cmpstr(field(1, "PRIORITY"), ==, "4");
	g_assert_cmpstr(field(1, "UBLK_ACTION"), ==, "x");
	g_assert_cmpstr(field(1, "UBLK_POLKIT_ACTION"), ==, "p");
	g_assert_cmpstr(field(1, "UBLK_CALLER_UID"), ==, "1000");
	g_assert_cmpstr(field(1, "UBLK_CALLER_PID"), ==, "77");
	g_assert_cmpstr(field(1, "OBJECT_PID"), ==, "77");
	g_assert_null(field(1, "UBLK_DEVICE"));
}

/* Somebody else may have its number. */
static void nobody_looks_for_who_has_ended(void)
{
	Caller ended = caller;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	g_assert_cmpint(child, >, 0);
	ended.pidfd = pidfd_open(child, 0);
	g_assert_cmpint(ended.pidfd, >=, 0);
	g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
	g_ptr_array_set_size(lines, 0);
	journal_tell(JOURNAL_STAYS, &(JournalAbout){ .caller = &ended }, "x");
	g_assert_cmpstr(field(0, "UBLK_CALLER_PID"), ==, "77");
	g_assert_null(field(0, "OBJECT_PID"));
	close(ended.pidfd);
}

static void a_line_is_a_line(void)
{
	static const struct {
		const char *text, *clean;
	} texts[] = {
		{ "all is well", "all is well" },
		{ "gr\303\274n", "gr\303\274n" },
		{ "a\nUBLK_OWNER=0\r\n", "a?UBLK_OWNER=0??" },
		{ "\033[31mred\007", "?[31mred?" },
		{ "\302\2332J", "?2J" },               /* CSI as one character */
		{ "\342\200\256txt.exe", "?txt.exe" }, /* from right to left */
		{ "cut \303", "cut ?" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree char *clean = journal_clean(texts[i].text, -1);

		g_assert_cmpstr(clean, ==, texts[i].clean);
	}
}

static void refusals_are_counted(void)
{
	Caller other = { .sender = (char *)":1.8", .uid = 1002, .pid = 78, .pidfd = caller.pidfd };
	AuditCall call = { &caller, &device, "/org/ublk1/devices/3", "delete", "org.ublk1.x" };

	g_ptr_array_set_size(lines, 0);
	for (guint i = 0; i < 200; i++)
		audit_refused(&call, "no");
	g_assert_cmpuint(lines->len, ==, 20);
	g_assert_cmpstr(field(19, "MESSAGE"), ==,
			"delete of /org/ublk1/devices/3 refused to user 1000: no");
	g_assert_cmpstr(field(19, "UBLK_ACTION"), ==, "delete");
	g_assert_cmpstr(field(19, "UBLK_POLKIT_ACTION"), ==, "org.ublk1.x");
	g_assert_cmpstr(field(19, "UBLK_OWNER"), ==, "1001");
	g_assert_cmpstr(field(19, "UBLK_CALLER_UID"), ==, "1000");

	/* neither what was allowed is lost with them, nor anybody else's */
	for (guint i = 0; i < 200; i++)
		audit_allowed(&call, "polkit says yes");
	g_assert_cmpuint(lines->len, ==, 80);
	g_assert_cmpstr(field(79, "MESSAGE"), ==,
			"delete of /org/ublk1/devices/3 allowed to user 1000, process 77, by "
			"org.ublk1.x: polkit says yes");
	call.caller = &other;
	audit_refused(&call, "no");
	g_assert_cmpuint(lines->len, ==, 81);
	/* nor what is told of callers whom the bus does not know */
	call.caller = NULL;
	audit_refused(&call, "no");
	g_assert_cmpuint(lines->len, ==, 82);
	g_assert_cmpstr(field(81, "MESSAGE"), ==,
			"delete of /org/ublk1/devices/3 refused to user unknown: no");
	g_assert_null(field(81, "UBLK_CALLER_UID"));
}

/* Also those that are not told. */
static void all_are_counted(void)
{
	AuditCall call = { &caller, &device, "/org/ublk1/devices/3", "delete", "org.ublk1.x" };
	g_autoptr(GVariant) before = g_variant_ref_sink(journal_describe_counts());
	g_autoptr(GVariant) after = NULL;
	guint64 first, last;

	for (guint i = 0; i < 300; i++) {
		audit_refused(&call, "no");
		audit_allowed(&call, "polkit says yes");
	}
	journal_tell(JOURNAL_GOES, &(JournalAbout){ .device = &device }, "it goes");
	after = g_variant_ref_sink(journal_describe_counts());
	g_assert_true(g_variant_lookup(before, "refused", "t", &first));
	g_assert_true(g_variant_lookup(after, "refused", "t", &last));
	g_assert_cmpuint(last - first, ==, 300);
	g_assert_true(g_variant_lookup(before, "allowed", "t", &first));
	g_assert_true(g_variant_lookup(after, "allowed", "t", &last));
	g_assert_cmpuint(last - first, ==, 300);
	g_assert_true(g_variant_lookup(before, "deleted", "t", &first));
	g_assert_true(g_variant_lookup(after, "deleted", "t", &last));
	g_assert_cmpuint(last - first, ==, 1);
}

/* Also of who opens its device all the time. */
static void openings_are_counted(void)
{
	g_ptr_array_set_size(lines, 0);
	for (guint i = 0; i < 200; i++)
		audit_opened(&device, &caller);
	g_assert_cmpuint(lines->len, ==, 60);
	g_assert_cmpstr(field(59, "MESSAGE"), ==, "device 3 of user 1001: opened for user 1000");
	g_assert_cmpstr(field(59, "UBLK_CALLER_UID"), ==, "1000");
}

/* The users that somebody with subordinate ids can be have a number of lines, all together. */
static void many_users_are_counted(void)
{
	static const guint many = 100, each = 30;
	Caller other = caller;
	AuditCall call = { &other, &device, "/org/ublk1/devices/3", "delete", "org.ublk1.x" };
	guint64 untold;
	guint told;
	char *words;

	g_ptr_array_set_size(lines, 0);
	for (guint i = 0; i < many; i++) {
		other.uid = 100000 + i;
		for (guint n = 0; n < each; n++)
			audit_refused(&call, "no");
	}
	told = lines->len;
	/* less what the tests before have used up */
	g_assert_cmpuint(told, <=, 1000);
	g_assert_cmpuint(told, >=, 500);
	other.uid = 0;
	audit_refused(&call, "root is told of");
	g_assert_cmpuint(lines->len, ==, told + 1);

	/* the period's end: nothing is lost, and it takes a line */
	g_ptr_array_set_size(lines, 0);
	do {
		g_main_context_iteration(NULL, TRUE);
	} while (!lines->len);
	g_assert_cmpuint(lines->len, ==, 1);
	g_assert_cmpstr(field(0, "MESSAGE_ID"), ==, "4f5def9afd084174bf946d31d8c80948");
	g_assert_null(field(0, "UBLK_CALLER_UID"));
	untold = g_ascii_strtoull(field(0, "MESSAGE"), &words, 10);
	g_assert_cmpuint(untold, >=, many * each - told);
	g_assert_cmpstr(words, ==,
			" more calls of other users were allowed or refused in 10 seconds");

	/* and then there is room again */
	g_ptr_array_set_size(lines, 0);
	other.uid = 100000;
	audit_refused(&call, "no");
	g_assert_cmpuint(lines->len, ==, 1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	lines = g_ptr_array_new_with_free_func((GDestroyNotify)g_hash_table_unref);
	g_log_set_writer_func(keep, NULL, NULL);
	caller.pidfd = pidfd_open(getpid(), 0);
	g_assert_cmpint(caller.pidfd, >=, 0);
	g_test_add_func("/journal/has-its-fields", has_its_fields);
	g_test_add_func("/journal/nobody-looks-for-who-has-ended", nobody_looks_for_who_has_ended);
	g_test_add_func("/journal/a-line-is-a-line", a_line_is_a_line);
	g_test_add_func("/journal/refusals-are-counted", refusals_are_counted);
	g_test_add_func("/journal/all-are-counted", all_are_counted);
	g_test_add_func("/journal/openings-are-counted", openings_are_counted);
	g_test_add_func("/journal/many-users-are-counted", many_users_are_counted);
	return g_test_run();
}
