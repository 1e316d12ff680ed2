/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Option dictionaries: what is not known, not of its type, or not in its range is refused by name.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/error.h"
#include "daemon/options.h"
#include "kernel/ublk-control.h"

static Options *parse(OptionsMethod method, const char *text, GUnixFDList *fds, GError **error)
{
	g_autoptr(GVariant) dict =
		g_variant_ref_sink(g_variant_new_parsed(text)); /* text is a constant of a test's */

	g_assert_true(g_variant_is_of_type(dict, G_VARIANT_TYPE_VARDICT));
	return options_parse(method, dict, fds, getuid(), error);
}

static void assert_refused(OptionsMethod method, const char *text, const char *words)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(parse(method, text, NULL, &error));
	g_assert_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
	if (!strstr(error->message, words))
		g_error("%s: \"%s\" lacks \"%s\"", text, error->message, words);
}

static void takes_what_a_method_knows(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Options) options = parse(OPTIONS_ADD,
					   "{'name': <'disk-1.a_b'>, 'id': <uint32 7>, 'queues': "
					   "<uint32 4>, 'depth': <uint32 64>, "
					   "'file': <'/a b'>, 'size': <uint64 1048576>, "
					   "'read-only': <true>, 'direct': <false>}",
					   NULL, &error);

	g_assert_no_error(error);
	g_assert_cmpstr(options->name, ==, "disk-1.a_b");
	g_assert_cmpuint(options->id, ==, 7);
	g_assert_cmpuint(options->queues, ==, 4);
	g_assert_cmpuint(options->depth, ==, 64);
	g_assert_cmpstr(options->file, ==, "/a b");
	g_assert_cmpuint(options->limits.size, ==, 1048576);
	g_assert_true(options->limits.read_only);
	g_assert_cmpint(options->direct, ==, OPTION_FALSE);
	g_assert_cmpint(options->need_get_data, ==, OPTION_UNSET);
}

/* Arguments of methods, treated like options: of these methods alone. */
static void takes_shared_memory(void)
{
	g_autoptr(Options) add = parse(OPTIONS_ADD, "{'shared-memory': <true>}", NULL, NULL);
	g_autoptr(Options) create = parse(OPTIONS_CREATE, "{'shared-memory': <false>}", NULL, NULL);
	g_autoptr(Options)
		take = parse(OPTIONS_UNREGISTER_BUFFER, "{'index': <uint32 65535>}", NULL, NULL);
	g_autoptr(Options) give = parse(OPTIONS_REGISTER_BUFFER, "{'keep': <true>}", NULL, NULL);

	g_assert_cmpint(add->shared_memory, ==, OPTION_TRUE);
	g_assert_cmpint(create->shared_memory, ==, OPTION_FALSE);
	g_assert_cmpuint(take->index, ==, 65535);
	g_assert_cmpint(give->keep, ==, OPTION_TRUE);
	g_assert_cmpint(give->memory_fd, ==, -1);
	assert_refused(OPTIONS_UNREGISTER_BUFFER, "{'index': <uint32 65536>}", "65535");
	assert_refused(OPTIONS_REGISTER_BUFFER, "{'memory': <handle 0>}", "descriptor 0");
	assert_refused(OPTIONS_ADD, "{'keep': <true>}", "no option");
	assert_refused(OPTIONS_START, "{'shared-memory': <true>}", "no option");
	assert_refused(OPTIONS_ADD, "{'memory': <handle 0>}", "no option");
}

/* What nobody has said about the backing file is not said. */
static void takes_a_word_about_the_file(void)
{
	g_autoptr(Options) nothing = parse(OPTIONS_RESIZE, "@a{sv} {}", NULL, NULL);
	g_autoptr(Options) no = parse(OPTIONS_RESIZE, "{'backed': <false>}", NULL, NULL);
	g_autoptr(Options) yes = parse(OPTIONS_RESIZE, "{'backed': <true>}", NULL, NULL);

	g_assert_cmpint(nothing->backed, !=, OPTION_TRUE);
	g_assert_cmpint(no->backed, ==, OPTION_FALSE);
	g_assert_cmpint(yes->backed, ==, OPTION_TRUE);
}

/* Every parameter, by AddDevice as by Start; what is false or 0 was given all the same. */
static void takes_every_parameter(void)
{
	static const OptionsMethod methods[] = { OPTIONS_ADD, OPTIONS_START };
	const struct ublk_param *params;
	size_t n;

	params = ublk_params_table(&n);
	for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(Options) options = parse(
			methods[i],
			"{'size': <uint64 1048576>, 'logical-block-size': <uint32 1024>, "
			"'physical-block-size': <uint32 4096>, 'io-min': <uint32 8192>, "
			"'io-opt': <uint32 16384>, 'max-io-size': <uint32 65536>, "
			"'chunk-size': <uint32 32768>, 'virt-boundary-mask': <uint64 4095>, "
			"'dma-alignment': <uint32 512>, 'max-segments': <uint32 3>, "
			"'max-segment-size': <uint32 4096>, "
			"'segment-boundary-mask': <uint64 8191>, 'read-only': <false>, "
			"'rotational': <true>, 'volatile-cache': <true>, 'fua': <false>, "
			"'max-discard-size': <uint64 0>, 'discard-granularity': <uint32 512>, "
			"'discard-alignment': <uint32 0>, "
			"'max-write-zeroes-size': <uint64 4096>}",
			NULL, &error);

		g_assert_no_error(error);
		for (size_t j = 0; j < n; j++) {
			/* to AddDevice it is about the device's buffers */
			gboolean given = methods[i] == OPTIONS_START ||
					 !g_str_equal(params[j].name, "max-io-size");

			g_assert_cmpint(!!(options->given & ublk_params_bit(&params[j])), ==,
					given);
		}
		g_assert_cmpuint(options->limits.io_opt, ==, 16384);
		g_assert_cmpuint(options->limits.virt_boundary_mask, ==, 4095);
		g_assert_true(options->limits.rotational && options->limits.volatile_cache);
		g_assert_false(options->limits.fua);
		g_assert_cmpuint(options->limits.max_write_zeroes_size, ==, 4096);
		if (methods[i] == OPTIONS_START)
			g_assert_cmpuint(options->limits.max_io_size, ==, 65536);
		else
			g_assert_cmpuint(options->max_io_size, ==, 65536);
	}
}

static void has_defaults(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Options) options = parse(OPTIONS_ADD, "@a{sv} {}", NULL, &error);

	g_assert_no_error(error);
	g_assert_null(options->name);
	g_assert_cmpuint(options->id, ==, UBLK_DEV_ID_ANY);
	g_assert_cmpuint(options->queues, ==, 1);
	g_assert_cmpuint(options->depth, ==, OPTIONS_DEFAULT_DEPTH);
	g_assert_cmpint(options->file_fd, ==, -1);
	g_assert_false(options->has_owner);
	g_assert_cmpuint(options->given, ==, 0);
}

static void refuses_what_is_wrong(void)
{
	static const struct {
		OptionsMethod method;
		const char *text, *words;
	} all[] = {
		{ OPTIONS_ADD, "{'colour': <'red'>}", "no option \"colour\"" },
		/* known elsewhere is not known here */
		{ OPTIONS_ADD, "{'report': <true>}", "no option \"report\"" },
		{ OPTIONS_CREATE, "{'file': <'/x'>}", "no option \"file\"" },
		{ OPTIONS_NONE, "{'name': <'x'>}", "no option \"name\"" },
		{ OPTIONS_ADD, "{'queues': <'4'>}", "\"queues\" wants an unsigned 32-bit number" },
		{ OPTIONS_ADD, "{'queues': <4>}", "\"queues\" wants" },
		{ OPTIONS_ADD, "{'size': <uint32 512>}", "\"size\" wants an unsigned 64-bit" },
		{ OPTIONS_ADD, "{'read-only': <uint32 1>}", "\"read-only\" wants a boolean" },
		{ OPTIONS_ADD, "{'name': <['x']>}", "\"name\" wants a string" },
		{ OPTIONS_ADD, "{'queues': <uint32 0>}", "\"queues\" is 0" },
		{ OPTIONS_ADD, "{'queues': <uint32 4097>}", "\"queues\" is 4097" },
		{ OPTIONS_ADD, "{'depth': <uint32 0>}", "\"depth\" is 0" },
		{ OPTIONS_ADD, "{'depth': <uint32 5000>}", "\"depth\" is 5000" },
		{ OPTIONS_ADD, "{'id': <uint32 4294967295>}", "\"id\" is 4294967295" },
		{ OPTIONS_ADD, "{'max-io-size': <uint32 5000>}",
		  "\"max-io-size\" is 5000, which is not a multiple of the page size" },
		{ OPTIONS_CREATE, "{'max-io-size': <uint32 135680>}",
		  "\"max-io-size\" is 135680, which is not a multiple of the page size" },
		{ OPTIONS_ADD, "{'size': <uint64 0>}", "\"size\" is 0" },
		{ OPTIONS_ADD, "{'size': <uint64 18446744073709551615>}", "\"size\" is" },
		{ OPTIONS_ADD, "{'name': <''>}", "\"name\" is not a name" },
		{ OPTIONS_ADD, "{'name': <'a/b'>}", "\"name\" is not a name" },
		{ OPTIONS_ADD, "{'name': <'..'>}", "\"name\" is not a name" },
		{ OPTIONS_ADD, "{'name': <'-x'>}", "\"name\" is not a name" },
		{ OPTIONS_ADD, "{'name': <'a b'>}", "\"name\" is not a name" },
		{ OPTIONS_ADD, "{'name': <'a\\nb'>}", "\"name\" is not a name" },
		{ OPTIONS_ADD, "{'name': <'ä'>}", "\"name\" is not a name" },
		{ OPTIONS_ADD, "{'file': <'disk.img'>}", "\"file\" must be an absolute path" },
		{ OPTIONS_ADD, "{'file': <''>}", "\"file\" must be an absolute path" },
		{ OPTIONS_ADD, "{'queues': <uint32 1>, 'queues': <uint32 2>}", "given twice" },
		{ OPTIONS_ADD, "{'file': <'/x'>, 'file': <'/y'>}", "given twice" },
		/* parameters: of each its type, and what is wrong with a value by itself */
		{ OPTIONS_ADD, "{'io-min': <uint32 1000>}",
		  "\"io-min\" is 1000, which is not a power of two" },
		{ OPTIONS_ADD, "{'io-min': <uint64 4096>}", "\"io-min\" wants an unsigned 32-bit" },
		{ OPTIONS_START, "{'io-opt': <uint32 536870912>}", "more than 256 MiB" },
		{ OPTIONS_ADD, "{'physical-block-size': <uint32 256>}", "less than 512" },
		{ OPTIONS_ADD, "{'logical-block-size': <uint32 0>}",
		  "\"logical-block-size\" is 0" },
		{ OPTIONS_ADD, "{'logical-block-size': <uint32 131072>}", "the page size" },
		{ OPTIONS_ADD, "{'chunk-size': <uint32 100>}", "\"chunk-size\" is 100" },
		{ OPTIONS_ADD, "{'virt-boundary-mask': <uint64 4096>}", "power of two less one" },
		{ OPTIONS_ADD, "{'virt-boundary-mask': <uint32 4095>}",
		  "wants an unsigned 64-bit" },
		{ OPTIONS_ADD, "{'max-segments': <uint32 65536>}", "\"max-segments\" is 65536" },
		{ OPTIONS_ADD, "{'max-segment-size': <uint32 512>}", "less than 4096" },
		{ OPTIONS_ADD, "{'segment-boundary-mask': <uint64 511>}", "less than 4095" },
		{ OPTIONS_ADD, "{'dma-alignment': <uint32 1>}", "\"dma-alignment\" is 1" },
		{ OPTIONS_ADD, "{'max-discard-size': <uint64 1000>}", "\"max-discard-size\"" },
		{ OPTIONS_ADD, "{'max-write-zeroes-size': <uint64 2199023255552>}", "2 TiB" },
		{ OPTIONS_ADD, "{'fua': <'yes'>}", "\"fua\" wants a boolean" },
		{ OPTIONS_ADD, "{'fua': <true>, 'fua': <true>}", "given twice" },
		{ OPTIONS_START, "{'queues': <uint32 1>}", "no option \"queues\"" },
		{ OPTIONS_CREATE, "{'fua': <true>}", "no option \"fua\"" },
		{ OPTIONS_NONE, "{'size': <uint64 512>}", "no option \"size\"" },
		{ OPTIONS_OPEN, "{'read-only': <uint32 1>}", "\"read-only\" wants a boolean" },
		{ OPTIONS_OPEN, "{'size': <uint64 512>}", "no option \"size\"" },
		{ OPTIONS_RESIZE, "{'size': <uint64 512>}", "no option \"size\"" },
		{ OPTIONS_NONE, "{'created-at': <uint64 0>}", "\"created-at\" is 0" },
		{ OPTIONS_NONE, "{'created-at': <uint32 5>}", "wants an unsigned 64-bit" },
		{ OPTIONS_ADD, "{'created-at': <uint64 5>}", "no option \"created-at\"" },
		{ OPTIONS_RESIZE, "{'backed': <uint32 1>}", "\"backed\" wants a boolean" },
		{ OPTIONS_ADD, "{'backed': <true>}", "no option \"backed\"" },
		/* nothing came with the message */
		{ OPTIONS_ADD, "{'file': <handle 0>}", "descriptor 0, but the message carries 0" },
		{ OPTIONS_ADD, "{'file': <handle -1>}", "descriptor -1" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
		assert_refused(all[i].method, all[i].text, all[i].words);
}

static void bounds_names(void)
{
	char name[UBLK_NAME_MAX + 2];

	memset(name, 'x', sizeof(name));
	name[UBLK_NAME_MAX] = '\0';
	g_assert_true(options_valid_name(name));
	name[UBLK_NAME_MAX] = 'x';
	name[UBLK_NAME_MAX + 1] = '\0';
	g_assert_false(options_valid_name(name));
}

static void checks_descriptor_indexes(void)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(Options) options = NULL;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	g_assert_cmpint(g_unix_fd_list_append(fds, fd, NULL), ==, 0);
	close(fd);
	options = parse(OPTIONS_ADD, "{'file': <handle 0>}", fds, &error);
	g_assert_no_error(error);
	g_assert_cmpint(options->file_fd, >=, 0);
	g_assert_cmpint(fcntl(options->file_fd, F_GETFD), ==, FD_CLOEXEC);

	g_assert_null(parse(OPTIONS_ADD, "{'file': <handle 1>}", fds, &error));
	g_assert_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
	g_clear_error(&error);
	g_assert_null(parse(OPTIONS_ADD, "{'file': <handle -1>}", fds, &error));
	g_assert_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
	g_clear_error(&error);
	g_assert_null(parse(OPTIONS_ADD, "{'file': <handle -2147483648>}", fds, &error));
	g_assert_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
}

static void parses_a_report(void)
{
	g_auto(GStrv) lines =
		g_strsplit("size=1048576\nlogical-block-size=4096\nread-only=1\nfua=0\n", "\n", -1);
	g_autoptr(GError) error = NULL;
	struct ublk_limits limits;

	g_assert_true(options_parse_report(lines, &limits, &error));
	g_assert_cmpuint(limits.size, ==, 1048576);
	g_assert_cmpuint(limits.logical_block_size, ==, 4096);
	g_assert_true(limits.read_only);
	g_assert_false(limits.fua);
}

static void refuses_a_wrong_report(void)
{
	static const char *const wrong[] = {
		"size",
		"size=",
		"size=-1",
		"size=1x",
		"size=18446744073709551616",
		"read-only=2",
		"logical-block-size=4294967296",
		"name=x",
		"report=3",
		"colour=red",
		"=1",
	};

	for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
		char *lines[] = { (char *)wrong[i], NULL };
		g_autoptr(GError) error = NULL;
		struct ublk_limits limits;

		g_assert_false(options_parse_report(lines, &limits, &error));
		g_assert_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/options/takes-what-a-method-knows", takes_what_a_method_knows);
	g_test_add_func("/options/takes-every-parameter", takes_every_parameter);
	g_test_add_func("/options/takes-a-word-about-the-file", takes_a_word_about_the_file);
	g_test_add_func("/options/has-defaults", has_defaults);
	g_test_add_func("/options/refuses-what-is-wrong", refuses_what_is_wrong);
	g_test_add_func("/options/bounds-names", bounds_names);
	g_test_add_func("/options/checks-descriptor-indexes", checks_descriptor_indexes);
	g_test_add_func("/options/parses-a-report", parses_a_report);
	g_test_add_func("/options/refuses-a-wrong-report", refuses_a_wrong_report);
	g_test_add_func("/options/takes-shared-memory", takes_shared_memory);
	return g_test_run();
}
