/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of ublk-server. See options.h. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/ublk-abi.h"

enum {
	OPT_CHAR_DEVICE = 256,
	OPT_CHAR_FD,
	OPT_ID,
	OPT_QUEUES,
	OPT_DEPTH,
	OPT_MAX_IO_SIZE,
	OPT_FLAGS,
	OPT_FILE_FD,
	OPT_RECEIVE_FILE,
	OPT_DIRECT,
	OPT_BUFFERED,
	OPT_QUEUE_CPUS,
	OPT_REPORT_FD,
	/* From here on the parameters, by their place in ublk_params_table(): --NAME … */
	OPT_PARAM = 512,
	/* … and --no-NAME */
	OPT_NO_PARAM = 768,
};

/* What the table of parameters has no part in. */
static const struct option long_options[] = {
	{ "target", required_argument, NULL, 't' },
	{ "char-device", required_argument, NULL, OPT_CHAR_DEVICE },
	{ "char-fd", required_argument, NULL, OPT_CHAR_FD },
	{ "id", required_argument, NULL, OPT_ID },
	{ "queues", required_argument, NULL, OPT_QUEUES },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "max-io-size", required_argument, NULL, OPT_MAX_IO_SIZE },
	{ "flags", required_argument, NULL, OPT_FLAGS },
	{ "file", required_argument, NULL, 'f' },
	{ "file-fd", required_argument, NULL, OPT_FILE_FD },
	{ "receive-file", no_argument, NULL, OPT_RECEIVE_FILE },
	{ "direct", no_argument, NULL, OPT_DIRECT },
	{ "buffered", no_argument, NULL, OPT_BUFFERED },
	{ "queue-cpus", required_argument, NULL, OPT_QUEUE_CPUS },
	{ "report-fd", required_argument, NULL, OPT_REPORT_FD },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
};
#define LONG_OPTIONS (sizeof(long_options) / sizeof(*long_options))
/* The parameters fit into 32 bits; a boolean has two options. */
#define MAX_OPTIONS (LONG_OPTIONS + 2 * 32 + 1)
#define MAX_NAME    64

/*
 * All options, for getopt_long(): those above and the parameters'. max-io-size is both: as a number
 * of the device it comes first, and getopt takes the first.
 */
static void list_options(struct option all[MAX_OPTIONS], char names[32][MAX_NAME])
{
	const struct ublk_param *table;
	size_t n, len = LONG_OPTIONS;

	memcpy(all, long_options, sizeof(long_options));
	table = ublk_params_table(&n);
	for (size_t i = 0; i < n; i++) {
		bool truth = table[i].kind == UBLK_PARAM_BOOL;

		all[len++] = (struct option){ table[i].name,
					      truth ? no_argument : required_argument, NULL,
					      OPT_PARAM + (int)i };
		if (!truth)
			continue;
		snprintf(names[i], MAX_NAME, "no-%s", table[i].name);
		all[len++] = (struct option){ names[i], no_argument, NULL, OPT_NO_PARAM + (int)i };
	}
	all[len] = (struct option){ 0 };
}

void options_print_help(FILE *out)
{
	fputs("Usage: ublk-server -t TARGET --char-device PATH | --char-fd N  --id N --queues N\n"
	      "                   --depth N --max-io-size BYTES --flags HEX [OPTION…]\n"
	      "\n"
	      "Serves one ublk device that somebody else has added and will start: ublkd, or\n"
	      "ublk-client serve. Not usually typed by hand.\n"
	      "\n"
	      "The device (the numbers are those that the kernel gave back when it was added):\n"
	      "  -t, --target NAME           null or loop\n"
	      "      --char-device PATH      /dev/ublkcN\n"
	      "      --char-fd N             inherited descriptor of it, O_PATH or open\n"
	      "      --id N                  its number\n"
	      "      --queues N              how many queues it has\n"
	      "      --depth N               how many requests each queue takes at once\n"
	      "      --max-io-size BYTES     the largest request\n"
	      "      --flags HEX             its feature flags\n"
	      "The target:\n"
	      "  -f, --file PATH             loop: the backing file or block device\n"
	      "      --file-fd N             loop: inherited descriptor of it\n"
	      "      --receive-file          loop: its path or descriptor comes over the report "
	      "socket\n"
	      "      --direct, --buffered    bypass the page cache, or use it (default: bypass it\n"
	      "                              where the backing file allows that)\n"
	      "What the device is to be; SIZE in bytes or with K, M, G or T, or a mask (0xfff):\n"
	      "      --size SIZE             loop: use only that much of the file\n"
	      "  -r, --read-only             refuse every write\n"
	      "      --logical-block-size, --physical-block-size, --io-min, --io-opt, "
	      "--chunk-size,\n"
	      "      --virt-boundary-mask, --dma-alignment, --max-segments, --max-segment-size,\n"
	      "      --segment-boundary-mask, --max-discard-size, --discard-granularity,\n"
	      "      --discard-alignment, --max-write-zeroes-size SIZE\n"
	      "      --[no-]rotational, --[no-]volatile-cache, --[no-]fua\n"
	      "The process:\n"
	      "      --queue-cpus LISTS      processors for each queue's thread, e.g. 0-1:2,3\n"
	      "      --report-fd N           where to say READY, or what went wrong\n"
	      "  -h, --help                  print this\n"
	      "      --version               print the version\n"
	      "\n"
	      "Exit status: 0 the device was stopped or the server was told to end, 1 failure,\n"
	      "2 wrong command line. docs/server.md tells the rest.\n",
	      out);
}

/* Decimal, or with a 0x prefix; nothing before or after it. */
static int parse_number(const char *text, uint64_t max, uint64_t *value)
{
	unsigned long long number;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	if (errno || *end != '\0' || number > max)
		return -EINVAL;
	*value = number;
	return 0;
}

/* A number, of bytes as a rule, with an optional K, M, G or T (powers of 1024). */
static int parse_size(const char *text, uint64_t *value)
{
	static const char units[] = "KMGT";
	size_t len = strlen(text);
	const char *unit = len > 1 ? strchr(units, text[len - 1]) : NULL;
	unsigned int shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;
	char digits[32];
	uint64_t number;

	if (unit)
		len--;
	if (len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (parse_number(digits, UINT64_MAX >> shift, &number) < 0)
		return -EINVAL;
	*value = number << shift;
	return 0;
}

/* A number option whose result must lie in min … max. */
static int number_option(const char *name, const char *text, uint64_t min, uint64_t max,
			 uint64_t *value, struct server_error *error)
{
	if (parse_number(text, max, value) < 0 || *value < min)
		return server_error_set(error, EINVAL, "--%s %s is not a number from %llu to %llu",
					name, text, (unsigned long long)min,
					(unsigned long long)max);
	return 0;
}

static void wish(struct options *options, const struct ublk_param *param, uint64_t value)
{
	ublk_params_store(&options->limits, param, value);
	options->given |= ublk_params_bit(param);
	options->size = options->limits.size;
	options->logical_block_size = options->limits.logical_block_size;
	options->read_only = options->limits.read_only;
}

/* What is wrong with the value by itself is said here; with others, by wishes_apply(). */
static int take_parameter(int opt, struct options *options, struct server_error *error)
{
	bool no = opt >= OPT_NO_PARAM;
	const struct ublk_param *param;
	const char *why;
	uint64_t value;
	size_t n;

	param = &ublk_params_table(&n)[opt - (no ? OPT_NO_PARAM : OPT_PARAM)];
	if (param->kind == UBLK_PARAM_BOOL) {
		wish(options, param, !no);
		return 0;
	}
	if (parse_size(optarg, &value) < 0)
		return server_error_set(error, EINVAL,
					"--%s %s is not a number (with K, M, G or T if need be)",
					param->name, optarg);
	why = ublk_params_check(param, value);
	if (why)
		return server_error_set(error, EINVAL, "--%s %s %s", param->name, optarg, why);
	wish(options, param, value);
	return 0;
}

static int take_option(int opt, struct options *options, const char **queue_cpus, uint32_t *given,
		       struct server_error *error)
{
	uint64_t value = 0;
	int ret = 0;

	switch (opt) {
	case 't':
		options->target = optarg;
		break;
	case OPT_CHAR_DEVICE:
		options->char_device = optarg;
		break;
	case OPT_CHAR_FD:
		ret = number_option("char-fd", optarg, 0, INT_MAX, &value, error);
		options->char_fd = (int)value;
		break;
	case OPT_ID:
		ret = number_option("id", optarg, 0, INT32_MAX, &value, error);
		options->dev_id = (uint32_t)value;
		break;
	case OPT_QUEUES:
		ret = number_option("queues", optarg, 1, UBLK_MAX_NR_QUEUES, &value, error);
		options->queues = (uint16_t)value;
		break;
	case OPT_DEPTH:
		ret = number_option("depth", optarg, 1, UBLK_MAX_QUEUE_DEPTH, &value, error);
		options->depth = (uint16_t)value;
		break;
	case OPT_MAX_IO_SIZE:
		ret = number_option("max-io-size", optarg, (uint64_t)sysconf(_SC_PAGESIZE),
				    1U << UBLK_IO_BUF_BITS, &value, error);
		options->max_io_size = (uint32_t)value;
		break;
	case OPT_FLAGS:
		ret = number_option("flags", optarg, 0, UINT64_MAX, &options->flags, error);
		break;
	case 'f':
		options->file = optarg;
		break;
	case OPT_FILE_FD:
		ret = number_option("file-fd", optarg, 0, INT_MAX, &value, error);
		options->file_fd = (int)value;
		break;
	case OPT_RECEIVE_FILE:
		options->receive_file = true;
		break;
	case 'r':
		wish(options, ublk_params_find("read-only"), true);
		break;
	case OPT_DIRECT:
	case OPT_BUFFERED:
		if (options->io_mode != OPTIONS_IO_AUTO)
			return server_error_set(error, EINVAL,
						"--direct and --buffered may be given once");
		options->io_mode = opt == OPT_DIRECT ? OPTIONS_IO_DIRECT : OPTIONS_IO_BUFFERED;
		break;
	case OPT_QUEUE_CPUS:
		*queue_cpus = optarg;
		break;
	case OPT_REPORT_FD:
		ret = number_option("report-fd", optarg, 0, INT_MAX, &value, error);
		if (ret == 0)
			options->report_fd = (int)value;
		break;
	case 'h':
		options->action = OPTIONS_HELP;
		break;
	case 'V':
		options->action = OPTIONS_VERSION;
		break;
	default:
		ret = take_parameter(opt, options, error);
		break;
	}
	if (opt >= OPT_ID && opt <= OPT_FLAGS)
		*given |= 1U << (opt - OPT_ID);
	return ret;
}

/* What can only be said when all options are known. */
static int check_options(const struct options *options, uint32_t given, struct server_error *error)
{
	static const char *const required[] = { "id", "queues", "depth", "max-io-size", "flags" };
	int backings = (options->file != NULL) + (options->file_fd >= 0) + options->receive_file;

	if (!options->target)
		return server_error_set(error, EINVAL, "--target is missing: null or loop");
	if ((options->char_device != NULL) + (options->char_fd >= 0) != 1)
		return server_error_set(error, EINVAL,
					"exactly one of --char-device and --char-fd is needed");
	for (unsigned int i = 0; i < sizeof(required) / sizeof(*required); i++) {
		if (!(given & 1U << i))
			return server_error_set(error, EINVAL,
						"--%s is missing: what the kernel gave back when "
						"the device was added",
						required[i]);
	}
	if (backings > 1)
		return server_error_set(
			error, EINVAL,
			"only one of --file, --file-fd and --receive-file may be given");
	if (options->receive_file && options->report_fd < 0)
		return server_error_set(error, EINVAL,
					"--receive-file needs --report-fd, a socket");
	return 0;
}

int options_parse(int argc, char **argv, struct options *options, struct server_error *error)
{
	struct option all[MAX_OPTIONS];
	char names[32][MAX_NAME];
	const char *queue_cpus = NULL;
	uint32_t given = 0;
	int first_ret = 0;
	int opt, ret;

	*options = (struct options){ .char_fd = -1, .file_fd = -1, .report_fd = -1 };
	list_options(all, names);
	optind = 0; /* glibc: start anew, so that tests may parse twice */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":t:f:rh", all, NULL)) != -1) {
		ret = 0;
		/* After the first mistake only --report-fd matters: it says where to tell it. */
		if (first_ret == 0 || opt == OPT_REPORT_FD) {
			if (opt == '?' || opt == ':')
				ret = server_error_set(
					error, EINVAL, "%s %s; see ublk-server --help",
					argv[optind - 1],
					opt == ':' ? "needs a value" : "is not an option");
			else
				ret = take_option(opt, options, &queue_cpus, &given, error);
		}
		if (first_ret == 0)
			first_ret = ret;
	}
	if (first_ret < 0)
		return first_ret;
	if (options->action != OPTIONS_RUN)
		return 0;
	if (optind < argc)
		return server_error_set(
			error, EINVAL, "%s is not an option; see ublk-server --help", argv[optind]);
	ret = check_options(options, given, error);
	if (ret < 0 || !queue_cpus)
		return ret;
	ret = cpu_lists_parse(queue_cpus, options->queues, &options->queue_cpus);
	if (ret == -ERANGE)
		return server_error_set(error, EINVAL, "--queue-cpus %s does not have %u parts",
					queue_cpus, options->queues);
	if (ret < 0)
		return server_error_set(error, ret, "--queue-cpus %s is not lists of processors",
					queue_cpus);
	return 0;
}

void options_free(struct options *options)
{
	cpu_lists_free(options->queue_cpus, options->queues);
	options->queue_cpus = NULL;
}
