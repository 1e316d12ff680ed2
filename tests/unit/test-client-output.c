/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the client prints: JSON, sizes, the table, and nothing that a terminal would obey. */
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "json.h"
#include "output.h"
#include "table.h"

static void assert_json(const char *variant, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) value = g_variant_parse(NULL, variant, NULL, NULL, &error);
	g_autofree char *text = NULL;

	g_assert_no_error(error);
	text = json_print(value);
	g_assert_cmpstr(text, ==, expected);
}

static void test_json_types(void)
{
	assert_json("true", "true");
	assert_json("byte 0xff", "255");
	assert_json("int64 -9223372036854775808", "-9223372036854775808");
	/* Flags are 64 bits: a library with signed numbers would make it negative. */
	assert_json("uint64 18446744073709551615", "18446744073709551615");
	assert_json("1.5", "1.5");
	assert_json("inf", "null");
	assert_json("@ms nothing", "null");
	assert_json("@ms 'x'", "\"x\"");
	assert_json("<<uint32 7>>", "7");
	assert_json("@as []", "[]");
	assert_json("@a{sv} {}", "{}");
	assert_json("['a', 'b']", "[\n  \"a\",\n  \"b\"\n]");
	assert_json("('a', uint32 1)", "[\n  \"a\",\n  1\n]");
	assert_json("{'a': <1>, 'b': <{'c': <@as []>}>}",
		    "{\n  \"a\": 1,\n  \"b\": {\n    \"c\": []\n  }\n}");
}

static void assert_json_string(const char *text, const char *expected)
{
	g_autoptr(GString) out = g_string_new(NULL);

	json_append_string(out, text);
	g_assert_cmpstr(out->str, ==, expected);
}

static void test_json_escapes(void)
{
	assert_json_string("", "\"\"");
	assert_json_string("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
	assert_json_string("\n\t\r\b", "\"\\n\\t\\u000d\\u0008\"");
	assert_json_string("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
	/* CSI as one character; marks of direction */
	assert_json_string("\302\2332J", "\"\\u009b2J\"");
	assert_json_string("\342\200\256x\342\201\246\342\200\217", "\"\\u202ex\\u2066\\u200f\"");
	assert_json_string("\x1b[31m", "\"\\u001b[31m\"");
	assert_json_string("é𝄞", "\"é𝄞\"");
	/* Not UTF-8: a lone byte, a cut sequence, an overlong slash, a surrogate. */
	assert_json_string("a\xff"
			   "b",
			   "\"a\xef\xbf\xbd"
			   "b\"");
	assert_json_string("\xc3", "\"\xef\xbf\xbd\"");
	assert_json_string("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_json_string("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_json("b'a\\377'", "\"a\xef\xbf\xbd\"");
}

static void test_sizes(void)
{
	static const struct {
		guint64 bytes;
		const char *text;
	} sizes[] = {
		{ 0, "0" },
		{ 512, "512" },
		{ 1023, "1023" },
		{ 1024, "1K" },
		{ 1536, "1.5K" },
		{ 4096, "4K" },
		{ 67108864, "64M" },
		{ 1048576 - 1, "1M" },
		{ 5242880 - 512, "5M" },
		{ 661651456, "631M" },
		{ G_GUINT64_CONSTANT(1) << 40, "1T" },
		{ G_MAXUINT64, "16E" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autofree char *text = output_format_size(sizes[i].bytes);

		g_assert_cmpstr(text, ==, sizes[i].text);
	}
}

static void test_terminal(void)
{
	static const struct {
		const char *raw, *safe;
	} texts[] = {
		{ "/home/alice/Bücher.img", "/home/alice/Bücher.img" },
		{ "a\x1b]0;title\x07", "a\\x1b]0;title\\x07" },
		{ "line\nbreak", "line\\x0abreak" },
		{ "\xc2\x9b", "\\x9b" },
		{ "\xff", "\xef\xbf\xbd" },
		/* "gpj.exe" read backwards */
		{ "\xe2\x80\xae"
		  "gpj",
		  "\\x202egpj" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree char *safe = output_escape_text(texts[i].raw);

		g_assert_cmpstr(safe, ==, texts[i].safe);
	}
}

/* A device without the user's name in it: who is user 0 differs between machines. */
static GPtrArray *make_devices(void)
{
	GPtrArray *devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
	g_autoptr(GVariant) one = g_variant_ref_sink(g_variant_new_parsed(
		"{'Id': <uint32 0>, 'Name': <'work'>, 'OwnerUid': <uint32 4294967294>,"
		" 'OwnerGid': <uint32 4294967294>, 'State': <'live'>, 'Target': <'loop'>,"
		" 'Size': <uint64 67108864>, 'LogicalBlockSize': <uint32 512>,"
		" 'Queues': <uint32 1>, 'QueueDepth': <uint32 128>, 'ReadOnly': <true>,"
		" 'QueueCpus': <['0-3']>, 'Flags': <uint64 0x22>,"
		" 'FlagNames': <['cmd-ioctl-encode', 'unprivileged-dev']>,"
		" 'CharDevice': <'/dev/ublkc0'>, 'BlockDevice': <'/dev/ublkb0'>,"
		" 'ServerPid': <uint32 4711>, 'CreatedAt': <uint64 1700000000000000>,"
		" 'SharedMemory': <uint64 4194304>}"));
	g_autoptr(GVariant) two = g_variant_ref_sink(g_variant_new_parsed(
		"{'Id': <uint32 12>, 'Name': <'x'>, 'OwnerUid': <uint32 4294967294>,"
		" 'State': <'created'>, 'BlockDevice': <'/dev/ublkb12'>}"));

	g_ptr_array_add(devices, device_new("/org/ublk1/devices/0", one));
	g_ptr_array_add(devices, device_new("/org/ublk1/devices/12", two));
	return devices;
}

static char *capture(void (*print)(FILE *stream, GPtrArray *devices))
{
	g_autoptr(GPtrArray) devices = make_devices();
	char *text = NULL;
	gsize length;
	FILE *stream = open_memstream(&text, &length);

	print(stream, devices);
	fclose(stream);
	return text;
}

static const struct terminal pipe_terminal = { .utf8 = TRUE, .width = G_MAXINT };

static void print_table(FILE *stream, GPtrArray *devices)
{
	((Device *)devices->pdata[0])->created_at = g_get_real_time() - 3 * G_TIME_SPAN_DAY;
	output_print_table(stream, devices, FALSE, &pipe_terminal);
}

static void print_bytes(FILE *stream, GPtrArray *devices)
{
	output_print_table(stream, devices, TRUE, &pipe_terminal);
}

static void test_table(void)
{
	g_autofree char *table = capture(print_table);
	g_autofree char *bytes = capture(print_bytes);

	g_assert_cmpstr(
		table, ==,
		"DEVICE        NAME  SIZE  TARGET  STATE    OWNER       SERVER  RO   AGE\n"
		"/dev/ublkb0   work   64M  loop    live     4294967294    4711  yes   3d\n"
		"/dev/ublkb12  x        0  -       created  4294967294       -  no     -\n");
	g_assert_nonnull(strstr(bytes, " 67108864 "));
}

/* What a table is on a terminal of that width. */
static char *print_on(const struct terminal *terminal)
{
	static const struct table_column columns[] = {
		{ .heading = "NAME", .least = 4 },
		{ .heading = "STATE" },
		{ .heading = "N", .right = TRUE, .dispensable = 1 },
		{ .heading = "RO", .dispensable = 2 },
	};
	static const char *const cells[] = { "東京の映像",          "live", "7",  "no",
					     "e\xcc\x81te\xcc\x81", "new",  "12", "yes" };
	g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
	char *text = NULL;
	gsize length;
	FILE *stream = open_memstream(&text, &length);

	for (gsize i = 0; i < G_N_ELEMENTS(cells); i++)
		table_add(table, g_strdup(cells[i]), i == 1 ? TERMINAL_GOOD : TERMINAL_PLAIN);
	table_print(table, stream, terminal);
	fclose(stream);
	return text;
}

static void assert_table(int width, gboolean colour, gboolean utf8, const char *expected)
{
	struct terminal terminal = { .colour = colour, .utf8 = utf8, .width = width };
	g_autofree char *text = print_on(&terminal);

	g_assert_cmpstr(text, ==, expected);
}

/* Columns are what characters take, not how many characters they are; and lines do not wrap. */
static void test_width(void)
{
	assert_table(G_MAXINT, FALSE, TRUE,
		     "NAME        STATE   N  RO\n"
		     "東京の映像  live    7  no\n"
		     "e\xcc\x81te\xcc\x81         new    12  yes\n");
	/* A wide character is not cut in two: the ellipsis has what is left. */
	assert_table(23, FALSE, TRUE,
		     "NAME     STATE   N  RO\n"
		     "東京の…  live    7  no\n"
		     "e\xcc\x81te\xcc\x81      new    12  yes\n");
	assert_table(22, FALSE, FALSE,
		     "NAME    STATE   N  RO\n"
		     "東京~   live    7  no\n"
		     "e\xcc\x81te\xcc\x81     new    12  yes\n");
	/* Narrower than what cannot be cut: the least important goes first. */
	assert_table(16, FALSE, TRUE,
		     "NAME  STATE   N\n"
		     "東…   live    7\n"
		     "e\xcc\x81te\xcc\x81   new    12\n");
	/* What can neither be cut nor left out stays. */
	assert_table(1, FALSE, TRUE,
		     "NAME  STATE\n"
		     "東…   live\n"
		     "e\xcc\x81te\xcc\x81   new\n");
	assert_table(16, TRUE, TRUE,
		     "NAME  STATE   N\n"
		     "東…   \033[32mlive\033[0m    7\n"
		     "e\xcc\x81te\xcc\x81   new    12\n");
}

/* Neither a pipe nor a dumb terminal is sent what only a terminal understands. */
static void test_no_terminal(void)
{
	int ends[2];
	struct terminal terminal;

	g_assert_no_errno(pipe(ends));
	g_setenv("TERM", "xterm", TRUE);
	terminal = terminal_get(ends[1]);
	g_assert_false(terminal.present || terminal.moves || terminal.colour || terminal.graphics);
	g_assert_cmpint(terminal.width, ==, G_MAXINT);
	close(ends[0]);
	close(ends[1]);
}

static void test_kinds_of_terminals(void)
{
	static const struct {
		const char *term, *no_color;
		gboolean moves, colour;
	} kinds[] = {
		{ "xterm", NULL, TRUE, TRUE }, { "xterm", "1", TRUE, FALSE },
		{ "xterm", "", TRUE, TRUE },   { "dumb", NULL, FALSE, FALSE },
		{ "", NULL, FALSE, FALSE },
	};
	struct winsize size = { .ws_col = 37, .ws_row = 11 };
	int master, slave;

	if (openpty(&master, &slave, NULL, NULL, &size) < 0) {
		g_test_skip("there are no pseudo-terminals");
		return;
	}
	for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
		struct terminal terminal;

		g_setenv("TERM", kinds[i].term, TRUE);
		g_unsetenv("NO_COLOR");
		if (kinds[i].no_color)
			g_setenv("NO_COLOR", kinds[i].no_color, TRUE);
		terminal = terminal_get(slave);
		g_assert_true(terminal.present);
		g_assert_cmpint(terminal.moves, ==, kinds[i].moves);
		g_assert_cmpint(terminal.colour, ==, kinds[i].colour);
		g_assert_cmpint(terminal.width, ==, 37);
		g_assert_cmpint(terminal.height, ==, 11);
	}
	close(master);
	close(slave);
}

static void print_json_list(FILE *stream, GPtrArray *devices)
{
	output_print_json(stream, devices, NULL);
}

static void print_json_info(FILE *stream, GPtrArray *devices)
{
	g_autoptr(GPtrArray) files = g_ptr_array_new();

	g_ptr_array_add(files, (gpointer) "/home/alice/a \"b\".img");
	g_ptr_array_add(files, NULL);
	output_print_json(stream, devices, files);
}

static void test_json_shape(void)
{
	g_autofree char *list = capture(print_json_list);
	g_autofree char *info = capture(print_json_info);

	g_assert_true(g_str_has_prefix(list, "{\n  \"version\": 1,\n  \"devices\": [\n"));
	g_assert_nonnull(strstr(list, "\"block_device\": \"/dev/ublkb0\",\n"));
	/* A user without a name on this machine. */
	g_assert_nonnull(strstr(list, "\"owner\": null,\n"));
	g_assert_nonnull(strstr(list, "\"owner_uid\": 4294967294,\n"));
	g_assert_nonnull(strstr(list, "\"server_pid\": 4711,\n"));
	g_assert_nonnull(strstr(list, "\"server_pid\": null,\n"));
	g_assert_nonnull(strstr(list, "\"shared_memory\": 4194304,\n"));
	g_assert_nonnull(strstr(list, "\"shared_memory\": 0,\n"));
	g_assert_nonnull(strstr(list, "\"created_at\": \"2023-11-14T22:13:20Z\"\n"));
	g_assert_nonnull(strstr(list, "\"created_at\": null\n"));
	/* A list does not ask for paths; "null" would say that there is none. */
	g_assert_null(strstr(list, "backing_file"));
	g_assert_nonnull(strstr(info, "\"backing_file\": \"/home/alice/a \\\"b\\\".img\"\n"));
	g_assert_nonnull(strstr(info, "\"backing_file\": null\n"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/json/types", test_json_types);
	g_test_add_func("/client/json/escapes", test_json_escapes);
	g_test_add_func("/client/json/shape", test_json_shape);
	g_test_add_func("/client/output/sizes", test_sizes);
	g_test_add_func("/client/output/terminal", test_terminal);
	g_test_add_func("/client/output/table", test_table);
	g_test_add_func("/client/output/width", test_width);
	g_test_add_func("/client/output/no-terminal", test_no_terminal);
	g_test_add_func("/client/output/kinds-of-terminals", test_kinds_of_terminals);
	return g_test_run();
}
