/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options that make a device: one command line, two receivers (client/make-options.h). */
#include <errno.h>
#include <glib/gstdio.h>

#include "errors.h"
#include "make-options.h"
#include "ublk-dbus.h"

static MakeOptions *parse(const char *line, GError **error)
{
	static const struct verb verb = { .name = "add" };
	g_autoptr(MakeOptions) options = make_options_new();
	g_auto(GStrv) words = NULL;
	g_autofree char **argv = NULL;
	int argc;

	g_assert_true(g_shell_parse_argv(line, &argc, &words, NULL));
	/* The parser moves the pointers about: the words stay ours. */
	argv = g_memdup2(words, (argc + 1) * sizeof(*words));
	return verbs_parse(&verb, make_options_get_entries(), options, &argc, &argv, error)
		       ? g_steal_pointer(&options)
		       : NULL;
}

static void assert_variant(GVariant *floating, const char *expected)
{
	g_autoptr(GVariant) value = g_variant_ref_sink(floating);
	g_autoptr(GVariant) wanted = g_variant_parse(NULL, expected, NULL, NULL, NULL);
	g_autofree char *got = g_variant_print(value, TRUE);

	g_test_message("%s", got);
	g_assert_true(g_variant_equal(value, wanted));
}

static void test_add(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(MakeOptions) options =
		parse("add -t loop -f /srv/a.img -n 3 --name work -q 4 -d 64 -r --size 1M "
		      "--max-io-size 256K --shared-memory --logical-block-size 4K --buffered",
		      &error);

	g_assert_no_error(error);
	g_assert_cmpstr(options->target, ==, "loop");
	assert_variant(make_options_build_add(options, fds, &error),
		       "{'name': <'work'>, 'id': <uint32 3>, 'queues': <uint32 4>,"
		       " 'depth': <uint32 64>, 'max-io-size': <uint32 262144>,"
		       " 'shared-memory': <true>,"
		       " 'size': <uint64 1048576>, 'read-only': <true>, 'direct': <false>,"
		       " 'logical-block-size': <uint32 4096>,"
		       " 'file': <'/srv/a.img'>}");
	g_assert_cmpint(g_unix_fd_list_get_length(fds), ==, 0);
}

/* Each parameter that an ordinary user's device may have; the words are the same to both receivers.
 */
static void test_parameters(void)
{
	static const char line[] =
		"add -t loop -f /srv/a.img --physical-block-size 8K --io-min 16K --io-opt 1M "
		"--chunk-size 64K --max-segments 7 --max-segment-size 32K "
		"--segment-boundary-mask 65535 --virt-boundary-mask 0xfff --dma-alignment 4096 "
		"--max-discard-size 5G --discard-granularity 8K --discard-alignment 512 "
		"--max-write-zeroes-size 0 --rotational --volatile-cache --no-fua";
	g_autoptr(GError) error = NULL;
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *arguments = NULL;
	g_autoptr(MakeOptions) options = parse(line, &error);

	g_assert_no_error(error);
	assert_variant(make_options_build_add(options, fds, &error),
		       "{'physical-block-size': <uint32 8192>, 'io-min': <uint32 16384>,"
		       " 'io-opt': <uint32 1048576>, 'chunk-size': <uint32 65536>,"
		       " 'max-segments': <uint32 7>, 'max-segment-size': <uint32 32768>,"
		       " 'segment-boundary-mask': <uint64 65535>,"
		       " 'virt-boundary-mask': <uint64 4095>, 'dma-alignment': <uint32 4096>,"
		       " 'max-discard-size': <uint64 5368709120>,"
		       " 'discard-granularity': <uint32 8192>,"
		       " 'discard-alignment': <uint32 512>, 'max-write-zeroes-size': <uint64 0>,"
		       " 'rotational': <true>, 'volatile-cache': <true>, 'fua': <false>,"
		       " 'file': <'/srv/a.img'>}");
	assert_variant(make_options_build_create(options), "@a{sv} {}");
	make_options_append_arguments(options, argv);
	g_ptr_array_add(argv, NULL);
	arguments = g_strjoinv(" ", (char **)argv->pdata);
	g_assert_cmpstr(arguments, ==,
			"-f /srv/a.img --physical-block-size 8192 --io-min 16384 --io-opt 1048576 "
			"--chunk-size 65536 --max-segments 7 --max-segment-size 32768 "
			"--segment-boundary-mask 65535 --virt-boundary-mask 4095 "
			"--dma-alignment 4096 --max-discard-size 5368709120 "
			"--discard-granularity 8192 --discard-alignment 512 "
			"--max-write-zeroes-size 0 --rotational --volatile-cache --no-fua");
}

static void test_nothing_is_sent_unasked(void)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(MakeOptions) options = parse("add -t null", NULL);

	assert_variant(make_options_build_add(options, fds, NULL), "@a{sv} {}");
	assert_variant(make_options_build_create(options), "@a{sv} {}");
}

static void test_serve(void)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *line = NULL;
	g_autoptr(MakeOptions) options =
		parse("add --target=loop --file=/srv/a.img --number 3 --name work --queues 4 "
		      "--depth 64 --read-only --size 1M --logical-block-size 4K --direct",
		      NULL);

	/* What CreateDevice refuses to know goes to the server, and the other way round. */
	assert_variant(make_options_build_create(options),
		       "{'name': <'work'>, 'id': <uint32 3>, 'queues': <uint32 4>,"
		       " 'depth': <uint32 64>}");
	make_options_append_arguments(options, argv);
	g_ptr_array_add(argv, NULL);
	line = g_strjoinv(" ", (char **)argv->pdata);
	g_assert_cmpstr(line, ==,
			"-f /srv/a.img --size 1048576 --read-only --direct "
			"--logical-block-size 4096");
}

static void test_wrong_options(void)
{
	static const struct {
		const char *line;
		/* The option must be named, or nobody knows which number was meant. */
		const char *named;
	} lines[] = {
		{ "add --queues four", "--queues" },
		{ "add -q four", "-q" },
		{ "add -d -1", "-d" },
		{ "add --depth 4294967296", "--depth" },
		{ "add --max-io-size 4G", "--max-io-size" },
		{ "add --size 1GB", "--size" },
		{ "add --size 16384P", "--size" },
		{ "add --id x", "--id" },
		{ "add --qeues 4", "--qeues" },
		{ "add --name", "--name" },
		{ "add --direct --buffered", "--direct and --buffered" },
		{ "add --buffered --direct", "--direct and --buffered" },
		{ "add --rotational --no-rotational", "--rotational and --no-rotational" },
		{ "add --no-fua --fua", "--fua and --no-fua" },
		{ "add --no-volatile-cache --volatile-cache",
		  "--volatile-cache and --no-volatile-cache" },
		{ "add --no-read-only", "--no-read-only" },
		{ "add --io-min 4G", "--io-min" },
		{ "add --chunk-size -1", "--chunk-size" },
		{ "add --max-segments 64K", "--max-segments" },
		{ "add --virt-boundary-mask 4K", "--virt-boundary-mask" },
		{ "add --virt-boundary-mask 0x", "--virt-boundary-mask" },
		{ "add --segment-boundary-mask 0x1ffffffffffffffff", "--segment-boundary-mask" },
		{ "add --fua=yes", "--fua" },
		{ "add word", "word" },
		{ "add -t null -- -x", "-x" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_autoptr(GError) error = NULL;

		g_test_message("%s", lines[i].line);
		g_assert_null(parse(lines[i].line, &error));
		g_assert_cmpint(errors_get_exit_code(error), ==, EXIT_CODE_USAGE);
		g_assert_nonnull(strstr(error->message, lines[i].named));
	}
}

static void test_the_last_wins(void)
{
	g_autoptr(MakeOptions) options = parse(
		"add -t null -t loop -q 1 --queues 2 --direct --direct -n 4 --number 5", NULL);

	g_assert_cmpstr(options->target, ==, "loop");
	assert_variant(make_options_build_create(options),
		       "{'id': <uint32 5>, 'queues': <uint32 2>}");
}

static int check(const char *line)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(MakeOptions) options = parse(line, &error);

	g_assert_no_error(error);
	if (make_options_check(options, &error))
		return 0;
	g_test_message("%s: %s", line, error->message);
	return errors_get_exit_code(error);
}

static void test_check(void)
{
	g_assert_cmpint(check("add"), ==, EXIT_CODE_USAGE);
	g_assert_cmpint(check("add -f /etc/passwd"), ==, EXIT_CODE_USAGE);
	g_assert_cmpint(check("add -t loop"), ==, EXIT_CODE_USAGE);
	g_assert_cmpint(check("add -t null"), ==, EXIT_CODE_USAGE);
	g_assert_cmpint(check("add -t null --size 1G"), ==, 0);
	g_assert_cmpint(check("add -t loop -f /no/such/file"), ==, EXIT_CODE_NOT_FOUND);
	g_assert_cmpint(check("add -t loop -f /tmp"), ==, EXIT_CODE_USAGE);
	g_assert_cmpint(check("add -t loop -f /dev/null"), ==, EXIT_CODE_USAGE);
	g_assert_cmpint(check("add -t loop -f /etc/passwd -r"), ==, 0);
	/* Targets are ublkd's to know: a newer one must not need a newer client. */
	g_assert_cmpint(check("add -t newer"), ==, 0);
}

static void test_file_names(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-options-XXXXXX", NULL);
	g_autofree char *here = NULL;
	static const struct {
		const char *typed, *after;
	} names[] = {
		{ "a.img", "/a.img" },
		{ "./a.img", "/a.img" },
		{ ".//./a.img", "/a.img" },
		/* Left as it is: where a/.. leads is the kernel's to say when a is a link. */
		{ "a/../b.img", "/a/../b.img" },
		{ "-x", "/-x" },
		{ ".hidden", "/.hidden" },
	};

	g_assert_no_errno(g_chdir(folder));
	here = g_get_current_dir();
	for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = make_options_get_absolute(names[i].typed);
		g_autofree char *expected = g_strconcat(here, names[i].after, NULL);

		g_assert_cmpstr(path, ==, expected);
	}
	g_assert_no_errno(g_chdir("/"));
	g_rmdir(folder);
}

/* A name that a D-Bus string cannot carry must work all the same. */
static void test_file_name_not_utf8(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-options-XXXXXX", NULL);
	g_autofree char *file = g_build_filename(folder,
						 "gr\xfc\xdf"
						 "e.img",
						 NULL);
	g_autofree char *line = g_strdup_printf("add -t loop -f '%s'", file);
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(MakeOptions) options = NULL;

	g_assert_true(g_file_set_contents(file, "x", 1, NULL));
	options = parse(line, &error);
	g_assert_no_error(error);
	assert_variant(make_options_build_add(options, fds, &error), "{'file': <handle 0>}");
	g_assert_cmpint(g_unix_fd_list_get_length(fds), ==, 1);
	g_unlink(file);
	g_rmdir(folder);
}

/* What --keep writes, and reads as options again: each once, by the name that was meant. */
static void test_lines(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(MakeOptions)
		options = parse("add -t loop -f '/srv/my disk.img' -n 3 --name work -q 4 -r "
				"--max-io-size 256K --buffered --rotational --no-fua "
				"--virt-boundary-mask 0xfff --size 1M",
				&error);
	g_autoptr(MakeOptions) broken = parse("add -t loop -f '/srv/a\nname=b'", &error);
	g_autofree char *lines = make_options_build_lines(options, &error);
	g_autofree char *none = NULL;

	g_assert_no_error(error);
	g_assert_cmpstr(lines, ==,
			"target=loop\nfile=/srv/my disk.img\nid=3\nqueues=4\n"
			"max-io-size=262144\nsize=1048576\nread-only\nbuffered\n"
			"virt-boundary-mask=4095\nrotational\nno-fua\n");
	g_assert_cmpstr(make_options_get_name(options), ==, "work");
	none = make_options_build_lines(broken, &error);
	g_assert_error(error, CLIENT_ERROR, EXIT_CODE_USAGE);
}

static void assert_discards(const char *more, const char *expected)
{
	g_autofree char *line = g_strconcat("add -t loop -f /x --create 1M ", more, NULL);
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(MakeOptions) options = parse(line, &error);

	g_assert_no_error(error);
	assert_variant(make_options_build_add(options, fds, &error), expected);
}

/* Room that is reserved is not given back, unless that was asked for by name, wherever in the line.
 */
static void test_preallocate(void)
{
	assert_discards("--preallocate", "{'max-discard-size': <uint64 0>, 'file': <'/x'>}");
	assert_discards("--preallocate --max-discard-size 1M",
			"{'max-discard-size': <uint64 1048576>, 'file': <'/x'>}");
	assert_discards("--max-discard-size 1M --preallocate",
			"{'max-discard-size': <uint64 1048576>, 'file': <'/x'>}");
	assert_discards("", "{'file': <'/x'>}");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/options/add", test_add);
	g_test_add_func("/client/options/parameters", test_parameters);
	g_test_add_func("/client/options/nothing-unasked", test_nothing_is_sent_unasked);
	g_test_add_func("/client/options/serve", test_serve);
	g_test_add_func("/client/options/wrong", test_wrong_options);
	g_test_add_func("/client/options/last-wins", test_the_last_wins);
	g_test_add_func("/client/options/check", test_check);
	g_test_add_func("/client/options/preallocate", test_preallocate);
	g_test_add_func("/client/options/lines", test_lines);
	g_test_add_func("/client/options/file-names", test_file_names);
	g_test_add_func("/client/options/file-name-not-utf8", test_file_name_not_utf8);
	return g_test_run();
}
