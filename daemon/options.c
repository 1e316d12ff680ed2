/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <string.h>

#include "descriptor.h"
#include "error.h"
#include "kernel/ublk-control.h"

#define ADD    (1 << OPTIONS_ADD)
#define CREATE (1 << OPTIONS_CREATE)
#define START  (1 << OPTIONS_START)
#define LOOKUP (1 << OPTIONS_LOOKUP)
#define REPORT (1 << 16) /* also a key of a server's report */

typedef struct {
	const char *key;
	const char *type; /* of the value; "sh": either of the two */
	guint methods;
	gsize offset;   /* of the member in Options */
	gsize offset_h; /* for h */
	guint64 min, max;
} Option;

#define OPT(member)   G_STRUCT_OFFSET(Options, member)
#define LIMIT(member) G_STRUCT_OFFSET(Options, limits.member)

/*
 * Ranges are the driver's where it has one for the single value; how values go together is checked
 * by ublk_params_build(), which knows the driver's rules.
 */
static const Option table[] = {
	{ UBLK_OPT_NAME, "s", ADD | CREATE, OPT(name) },
	{ UBLK_OPT_ID, "u", ADD | CREATE, OPT(id), 0, 0, (1 << 20) - 1 },
	{ UBLK_OPT_QUEUES, "u", ADD | CREATE, OPT(queues), 0, 1, UBLK_MAX_NR_QUEUES },
	{ UBLK_OPT_DEPTH, "u", ADD | CREATE, OPT(depth), 0, 1, UBLK_MAX_QUEUE_DEPTH },
	{ UBLK_OPT_MAX_IO_SIZE, "u", ADD | CREATE | START | REPORT, OPT(max_io_size), 0, 4096,
	  1 << UBLK_IO_BUF_BITS },
	{ UBLK_OPT_NEED_GET_DATA, "b", CREATE, OPT(need_get_data) },
	{ UBLK_OPT_FILE, "sh", ADD, OPT(file), OPT(file_fd) },
	{ UBLK_OPT_DIRECT, "b", ADD, OPT(direct) },
	{ UBLK_OPT_SIZE, "t", ADD | START | REPORT, LIMIT(size), 0, 512, G_MAXINT64 },
	{ UBLK_OPT_READ_ONLY, "b", ADD | START | REPORT, LIMIT(read_only) },
	{ UBLK_OPT_LOGICAL_BLOCK_SIZE, "u", ADD | START | REPORT, LIMIT(logical_block_size), 0, 512,
	  1 << 16 },
	{ UBLK_OPT_PHYSICAL_BLOCK_SIZE, "u", START | REPORT, LIMIT(physical_block_size), 0, 0,
	  G_MAXUINT32 },
	{ UBLK_OPT_IO_MIN, "u", START | REPORT, LIMIT(io_min), 0, 0, G_MAXUINT32 },
	{ UBLK_OPT_IO_OPT, "u", START | REPORT, LIMIT(io_opt), 0, 0, G_MAXUINT32 },
	{ UBLK_OPT_ROTATIONAL, "b", START | REPORT, LIMIT(rotational) },
	{ UBLK_OPT_VOLATILE_CACHE, "b", START | REPORT, LIMIT(volatile_cache) },
	{ UBLK_OPT_FUA, "b", START | REPORT, LIMIT(fua) },
	{ UBLK_OPT_DISCARD_SIZE, "t", START | REPORT, LIMIT(max_discard_size), 0, 0, G_MAXINT64 },
	{ UBLK_OPT_DISCARD_GRANULARITY, "u", START | REPORT, LIMIT(discard_granularity), 0, 0,
	  G_MAXUINT32 },
	{ UBLK_OPT_DISCARD_ALIGNMENT, "u", START | REPORT, LIMIT(discard_alignment), 0, 0,
	  G_MAXUINT32 },
	{ UBLK_OPT_WRITE_ZEROES_SIZE, "t", START | REPORT, LIMIT(max_write_zeroes_size), 0, 0,
	  G_MAXINT64 },
	{ UBLK_OPT_DMA_ALIGNMENT, "u", START | REPORT, LIMIT(dma_alignment), 0, 0, G_MAXUINT32 },
	{ UBLK_OPT_CHUNK_SIZE, "u", START | REPORT, LIMIT(chunk_size), 0, 0, G_MAXUINT32 },
	{ UBLK_OPT_VIRT_BOUNDARY_MASK, "t", START | REPORT, LIMIT(virt_boundary_mask), 0, 0,
	  G_MAXUINT64 },
	{ UBLK_OPT_MAX_SEGMENTS, "u", START | REPORT, LIMIT(max_segments), 0, 0, G_MAXUINT16 },
	{ UBLK_OPT_MAX_SEGMENT_SIZE, "u", START | REPORT, LIMIT(max_segment_size), 0, 0,
	  G_MAXUINT32 },
	{ UBLK_OPT_SEGMENT_BOUNDARY_MASK, "t", START | REPORT, LIMIT(segment_boundary_mask), 0, 0,
	  G_MAXUINT64 },
	{ UBLK_OPT_REPORT, "h", START, 0, OPT(report_fd) },
	{ UBLK_OPT_SERVER, "h", START, 0, OPT(server_fd) },
	{ UBLK_OPT_OWNER, "u", LOOKUP, OPT(owner), 0, 0, G_MAXUINT32 - 1 },
};

gboolean options_valid_name(const char *name)
{
	gsize len = strlen(name);

	if (len == 0 || len > UBLK_NAME_MAX || !g_ascii_isalnum(name[0]))
		return FALSE;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
	       len;
}

void options_free(Options *options)
{
	if (!options)
		return;
	descriptor_close_later(options->file_fd, options->sender);
	descriptor_close_later(options->report_fd, options->sender);
	descriptor_close_later(options->server_fd, options->sender);
	g_free(options->name);
	g_free(options->file);
	g_free(options);
}

static Options *options_new(void)
{
	Options *options = g_new0(Options, 1);

	options->id = UBLK_DEV_ID_ANY;
	options->queues = 1;
	options->depth = OPTIONS_DEFAULT_DEPTH;
	options->max_io_size = OPTIONS_DEFAULT_MAX_IO_SIZE;
	options->direct = OPTION_UNSET;
	options->need_get_data = OPTION_UNSET;
	options->file_fd = options->report_fd = options->server_fd = -1;
	return options;
}

static gboolean invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean invalid(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (error)
		*error = g_error_new_valist(UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT, format, args);
	va_end(args);
	return FALSE;
}

static gboolean in_range(const Option *option, guint64 value, GError **error)
{
	if (value >= option->min && value <= option->max)
		return TRUE;
	return invalid(error,
		       "option \"%s\" is %" G_GUINT64_FORMAT ", but must be from %" G_GUINT64_FORMAT
		       " to %" G_GUINT64_FORMAT,
		       option->key, value, option->min, option->max);
}

static void store_bool(const Option *option, gpointer at, gboolean value)
{
	/* two members say "not given" too and are wider than a bool */
	if (option->offset == OPT(direct) || option->offset == OPT(need_get_data))
		*(OptionBool *)at = value ? OPTION_TRUE : OPTION_FALSE;
	else
		*(bool *)at = value;
}

static gboolean store_string(const Option *option, Options *options, const char *value,
			     GError **error)
{
	if (g_str_equal(option->key, UBLK_OPT_NAME)) {
		if (!options_valid_name(value))
			return invalid(
				error,
				"option \"name\" is not a name for a device: 1 to %d letters, "
				"digits, dots, hyphens and underscores, the first a letter or "
				"a digit",
				UBLK_NAME_MAX);
		options->name = g_strdup(value);
		return TRUE;
	}
	if (value[0] != '/' || strlen(value) >= PATH_MAX)
		return invalid(error,
			       "option \"%s\" must be an absolute path of less than %d bytes",
			       option->key, PATH_MAX);
	options->file = g_strdup(value);
	return TRUE;
}

static gboolean store(const Option *option, Options *options, GVariant *value, GUnixFDList *fds,
		      GError **error)
{
	gpointer at = G_STRUCT_MEMBER_P(options, option->offset);
	guint64 number;
	int fd;

	switch (g_variant_get_type_string(value)[0]) {
	case 'b':
		store_bool(option, at, g_variant_get_boolean(value));
		return TRUE;
	case 'u':
		number = g_variant_get_uint32(value);
		if (!in_range(option, number, error))
			return FALSE;
		*(guint32 *)at = (guint32)number;
		if (option->offset == OPT(owner))
			options->has_owner = TRUE;
		return TRUE;
	case 't':
		number = g_variant_get_uint64(value);
		if (!in_range(option, number, error))
			return FALSE;
		*(guint64 *)at = number;
		return TRUE;
	case 's':
		return store_string(option, options, g_variant_get_string(value, NULL), error);
	case 'h':
		fd = descriptor_get(fds, g_variant_get_handle(value), option->key, error);
		*(int *)G_STRUCT_MEMBER_P(options, option->offset_h) = fd;
		return fd >= 0;
	}
	g_assert_not_reached();
}

static const Option *find(const char *key)
{
	for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
		if (g_str_equal(table[i].key, key))
			return &table[i];
	return NULL;
}

static const char *type_name(char type)
{
	switch (type) {
	case 'b':
		return "a boolean (b)";
	case 'u':
		return "an unsigned 32-bit number (u)";
	case 't':
		return "an unsigned 64-bit number (t)";
	case 's':
		return "a string (s)";
	default:
		return "a descriptor (h)";
	}
}

Options *options_parse(OptionsMethod method, GVariant *dict, GUnixFDList *fds, uid_t sender,
		       GError **error)
{
	g_autoptr(Options) options = options_new();
	guint64 seen = 0;
	GVariantIter iter;
	const char *key;
	GVariant *item;

	options->sender = sender;
	g_variant_iter_init(&iter, dict);
	while (g_variant_iter_next(&iter, "{&sv}", &key, &item)) {
		g_autoptr(GVariant) value = item;
		const char *type = g_variant_get_type_string(value);
		const Option *option = find(key);
		guint64 bit;

		if (!option || !(option->methods & (1U << method))) {
			invalid(error, "there is no option \"%.100s\" here", key);
			return NULL;
		}
		if (type[1] || !strchr(option->type, type[0])) {
			invalid(error, "option \"%s\" wants %s, not the type \"%.20s\"", key,
				type_name(option->type[0]), type);
			return NULL;
		}
		bit = 1ULL << (option - table);
		if (seen & bit) {
			invalid(error, "option \"%s\" is given twice", key);
			return NULL;
		}
		seen |= bit;
		options->has_limits |= (option->methods & REPORT) != 0;
		if (!store(option, options, value, fds, error))
			return NULL;
	}
	/* one word, two members: what the device may do, and what this start says of it */
	if (seen & (1ULL << (find(UBLK_OPT_MAX_IO_SIZE) - table)))
		options->limits.max_io_size = options->max_io_size;
	if (options->max_io_size % 512) {
		invalid(error, "option \"max-io-size\" must be a multiple of 512");
		return NULL;
	}
	return g_steal_pointer(&options);
}

gboolean options_parse_report(char **lines, struct ublk_limits *limits, GError **error)
{
	g_autoptr(Options) options = options_new();

	for (; *lines; lines++) {
		g_auto(GStrv) pair = NULL;
		const Option *option;
		gpointer at;
		guint64 value;

		if (!**lines)
			continue;
		pair = g_strsplit(*lines, "=", 2);
		option = find(pair[0]);
		if (!option || !(option->methods & REPORT) || !pair[1])
			return invalid(error,
				       "the server reports \"%.100s\", which means nothing here",
				       *lines);
		/* what the kernel is told is checked in ublk_params_build(); 0 means "not set" */
		if (!g_ascii_string_to_unsigned(pair[1], 10, 0,
						option->type[0] == 't'   ? G_MAXUINT64
						: option->type[0] == 'u' ? G_MAXUINT32
									 : 1,
						&value, NULL))
			return invalid(error,
				       "the server reports \"%.100s\", which is no such number",
				       *lines);
		at = G_STRUCT_MEMBER_P(options, option->offset);
		if (option->type[0] == 't')
			*(guint64 *)at = value;
		else if (option->type[0] == 'u')
			*(guint32 *)at = (guint32)value;
		else
			*(bool *)at = value != 0;
		if (option->offset == OPT(max_io_size))
			options->limits.max_io_size = (guint32)value;
	}
	*limits = options->limits;
	return TRUE;
}
