/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of ublk-server: what it takes, what it refuses and how it says so. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/options.h"

#define DEVICE                                                                          \
	"--char-device", "/dev/ublkc7", "--id", "7", "--queues", "2", "--depth", "128", \
		"--max-io-size", "524288", "--flags", "0x1062"

static struct options options;
static struct server_error error;

/* Arguments up to NULL, after the program's name. */
static int parse(const char *const *args)
{
	static char copies[64][128];
	static char *argv[65];
	int argc = 0;

	argv[argc++] = strcpy(copies[0], "ublk-server");
	for (; args[argc - 1]; argc++)
		argv[argc] = strncpy(copies[argc], args[argc - 1], sizeof(copies[argc]) - 1);
	argv[argc] = NULL;
	error = (struct server_error){ 0 };
	return options_parse(argc, argv, &options, &error);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

/* Refused, with words that name what is wrong. */
#define REFUSES(words, ...)                                                            \
	do {                                                                           \
		if (PARSE(__VA_ARGS__) != -EINVAL || !strstr(error.text, words)) {     \
			fprintf(stderr, "line %d: err %d '%s'\n", __LINE__, error.err, \
				error.text);                                           \
			abort();                                                       \
		}                                                                      \
		assert(error.err == EINVAL);                                           \
		options_free(&options);                                                \
	} while (0)

static void takes_everything(void)
{
	assert(PARSE("--target", "loop", DEVICE, "--file", "/img", "--size", "1G", "--read-only",
		     "--direct", "--logical-block-size", "4096", "--queue-cpus", "0-1:2",
		     "--report-fd", "5") == 0);
	assert(strcmp(options.target, "loop") == 0);
	assert(strcmp(options.char_device, "/dev/ublkc7") == 0 && options.char_fd == -1);
	assert(options.dev_id == 7 && options.queues == 2 && options.depth == 128);
	assert(options.max_io_size == 524288 && options.flags == 0x1062);
	assert(strcmp(options.file, "/img") == 0 && options.file_fd == -1);
	assert(options.size == 1ULL << 30 && options.read_only);
	assert(options.io_mode == OPTIONS_IO_DIRECT && options.logical_block_size == 4096);
	assert(CPU_ISSET_S(1, options.queue_cpus[0].size, options.queue_cpus[0].set));
	assert(options.report_fd == 5);
	options_free(&options);
}

/* Every parameter has its option, and a boolean also its opposite. */
static void takes_every_parameter(void)
{
	const struct ublk_param *table;
	char name[80];
	size_t n;

	table = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++) {
		bool truth = table[i].kind == UBLK_PARAM_BOOL;

		/* That one is the device's, and counts as such. */
		if (strcmp(table[i].name, "max-io-size") == 0)
			continue;
		snprintf(name, sizeof(name), "--%s", table[i].name);
		assert(PARSE("-t", "null", DEVICE, name, truth ? "-r" : "4K") == 0 ||
		       table[i].mask);
		if (table[i].mask)
			assert(PARSE("-t", "null", DEVICE, name, "0xffff") == 0);
		assert(options.given & ublk_params_bit(&table[i]));
		assert(ublk_params_get(&options.limits, &table[i]) == (truth           ? 1
								       : table[i].mask ? 0xffff
										       : 4096));
		options_free(&options);
		snprintf(name, sizeof(name), "--no-%s", table[i].name);
		if (!truth) {
			REFUSES(name, "-t", "null", DEVICE, name);
			continue;
		}
		assert(PARSE("-t", "null", DEVICE, name) == 0);
		assert(options.given == ublk_params_bit(&table[i]));
		assert(ublk_params_get(&options.limits, &table[i]) == 0);
		options_free(&options);
	}
	assert(PARSE("-t", "null", DEVICE, "--max-discard-size", "0") == 0);
	assert(options.given == ublk_params_bit(ublk_params_find("max-discard-size")));
	assert(PARSE("-t", "null", DEVICE) == 0 && options.given == 0);
	assert(options.max_io_size == 524288);
	REFUSES("--io-min 1000 is not a power of two", "-t", "null", DEVICE, "--io-min", "1000");
	REFUSES("--io-min x is not a number", "-t", "null", DEVICE, "--io-min", "x");
	REFUSES("--io-min 4G is more than 32 bits", "-t", "null", DEVICE, "--io-min", "4G");
	REFUSES("--max-segment-size 512 is less", "-t", "null", DEVICE, "--max-segment-size",
		"512");
}

static void takes_short_forms(void)
{
	assert(PARSE("-t", "loop", "-f", "x", "-r", DEVICE) == 0);
	assert(strcmp(options.target, "loop") == 0 && strcmp(options.file, "x") == 0);
	assert(options.read_only && options.io_mode == OPTIONS_IO_AUTO && options.size == 0);
	assert(options.report_fd == -1 && !options.queue_cpus);
}

static void reads_sizes(void)
{
	assert(PARSE("-t", "null", DEVICE, "--size", "4096") == 0 && options.size == 4096);
	assert(PARSE("-t", "null", DEVICE, "--size", "3T") == 0 && options.size == 3ULL << 40);
	REFUSES("--size 0", "-t", "null", DEVICE, "--size", "0");
	REFUSES("--size 0G", "-t", "null", DEVICE, "--size", "0G");
	REFUSES("--size -1", "-t", "null", DEVICE, "--size", "-1");
	REFUSES("--size G", "-t", "null", DEVICE, "--size", "G");
	REFUSES("--size", "-t", "null", DEVICE, "--size", "");
	REFUSES("--size 1x", "-t", "null", DEVICE, "--size", "1x");
	REFUSES("--size", "-t", "null", DEVICE, "--size", "9223372036854775808");
	REFUSES("--size", "-t", "null", DEVICE, "--size", "8388608T");
}

static void refuses_numbers_out_of_range(void)
{
	REFUSES("--queues 0", "-t", "null", DEVICE, "--queues", "0");
	REFUSES("--queues 4097", "-t", "null", DEVICE, "--queues", "4097");
	REFUSES("--depth 5000", "-t", "null", DEVICE, "--depth", "5000");
	REFUSES("--depth 08x", "-t", "null", DEVICE, "--depth", "08x");
	REFUSES("--max-io-size 512", "-t", "null", DEVICE, "--max-io-size", "512");
	REFUSES("--id -1", "-t", "null", DEVICE, "--id", "-1");
	REFUSES("--flags", "-t", "null", DEVICE, "--flags", "0x");
	REFUSES("--flags", "-t", "null", DEVICE, "--flags", "0x1ffffffffffffffff");
	REFUSES("--file-fd -1", "-t", "loop", DEVICE, "--file-fd", "-1");
	REFUSES("--logical-block-size 256", "-t", "null", DEVICE, "--logical-block-size", "256");
	REFUSES("power of two", "-t", "null", DEVICE, "--logical-block-size", "513");
}

static void refuses_what_is_missing(void)
{
	REFUSES("--target", DEVICE);
	REFUSES("--char-device and --char-fd", "-t", "null", "--id", "1");
	REFUSES("--char-device and --char-fd", "-t", "null", DEVICE, "--char-fd", "3");
	REFUSES("--id", "-t", "null", "--char-fd", "3", "--queues", "1");
	REFUSES("--flags", "-t", "null", "--char-fd", "3", "--id", "0", "--queues", "1", "--depth",
		"1", "--max-io-size", "4096");
}

static void refuses_contradictions(void)
{
	REFUSES("only one of", "-t", "loop", DEVICE, "-f", "x", "--file-fd", "3");
	REFUSES("--receive-file needs", "-t", "loop", DEVICE, "--receive-file");
	REFUSES("once", "-t", "loop", DEVICE, "--direct", "--buffered");
	REFUSES("--queue-cpus 0-1", "-t", "null", DEVICE, "--queue-cpus", "0-1");
	REFUSES("--queue-cpus 1-0:2", "-t", "null", DEVICE, "--queue-cpus", "1-0:2");
}

static void refuses_what_it_does_not_know(void)
{
	REFUSES("--no-such", "-t", "null", DEVICE, "--no-such");
	REFUSES("stray", "-t", "null", DEVICE, "stray");
	REFUSES("needs a value", "-t", "null", DEVICE, "--size");
}

/* Whoever started the server is told of a wrong command line too. */
static void knows_where_to_report_after_a_mistake(void)
{
	REFUSES("--depth 0", "--depth", "0", "--report-fd", "9");
	assert(options.report_fd == 9);
}

int main(void)
{
	takes_everything();
	takes_every_parameter();
	takes_short_forms();
	reads_sizes();
	refuses_numbers_out_of_range();
	refuses_what_is_missing();
	refuses_contradictions();
	refuses_what_it_does_not_know();
	knows_where_to_report_after_a_mistake();
	assert(PARSE("--help") == 0 && options.action == OPTIONS_HELP);
	assert(PARSE("--version") == 0 && options.action == OPTIONS_VERSION);
	return 0;
}
