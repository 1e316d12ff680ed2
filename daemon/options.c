/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <string.h>
#include <unistd.h>

#include "descriptor.h"
#include "error.h"
#include "kernel/ublk-control.h"

#define NONE   (1 << OPTIONS_NONE)
#define ADD    (1 << OPTIONS_ADD)
#define CREATE (1 << OPTIONS_CREATE)
#define START  (1 << OPTIONS_START)
#define LOOKUP (1 << OPTIONS_LOOKUP)
#define RESIZE (1 << OPTIONS_RESIZE)
#define GIVE   (1 << OPTIONS_REGISTER_BUFFER)
#define TAKE   (1 << OPTIONS_UNREGISTER_BUFFER)
#define OPEN   (1 << OPTIONS_OPEN)

typedef struct {
	const char *key;
	const char *type; /* of the value; "sh": either of the two */
	guint methods;
	gsize offset;   /* of the member in Options */
	gsize offset_h; /* for h */
	guint64 min, max;
} Option;

#define OPT(member) G_STRUCT_OFFSET(Options, member)
/* The methods of a device. */
#define DEVICE (NONE | START | RESIZE | GIVE | TAKE | OPEN)
/* The methods that take parameters. */
#define PARAMETERS (ADD | START)

/*
 * Beside these there are the device's parameters, by the names, types and rules of
 * ublk_params_table(), for all methods that say what a device is to be. How values go together is
 * checked by ublk_params_build(), when it is known what was not given.
 */
static const Option table[] = {
	{ UBLK_OPT_NAME, "s", ADD | CREATE, OPT(name) },
	{ UBLK_OPT_ID, "u", ADD | CREATE, OPT(id), 0, 0, (1 << 20) - 1 },
	{ UBLK_OPT_QUEUES, "u", ADD | CREATE, OPT(queues), 0, 1, UBLK_MAX_NR_QUEUES },
	{ UBLK_OPT_DEPTH, "u", ADD | CREATE, OPT(depth), 0, 1, UBLK_MAX_QUEUE_DEPTH },
	/* what the device's buffers hold; to Start it is a parameter like others */
	{ UBLK_OPT_MAX_IO_SIZE, "u", ADD | CREATE, OPT(max_io_size), 0, 4096,
	  1 << UBLK_IO_BUF_BITS },
	{ UBLK_OPT_NEED_GET_DATA, "b", CREATE, OPT(need_get_data) },
	{ UBLK_OPT_SHARED_MEMORY, "b", ADD | CREATE, OPT(shared_memory) },
	{ UBLK_OPT_FILE, "sh", ADD, OPT(file), OPT(file_fd) },
	{ UBLK_OPT_DIRECT, "b", ADD, OPT(direct) },
	{ UBLK_OPT_REPORT, "b", START, OPT(report) },
	{ UBLK_OPT_SERVER, "h", START, 0, OPT(server_fd) },
	{ UBLK_OPT_OWNER, "u", LOOKUP, OPT(owner), 0, 0, G_MAXUINT32 - 1 },
	{ UBLK_OPT_BACKED, "b", RESIZE, OPT(backed) },
	/* to the others it is a parameter of the device */
	{ UBLK_OPT_READ_ONLY, "b", OPEN, OPT(open_read_only) },
	{ UBLK_OPT_MEMORY, "h", GIVE, 0, OPT(memory_fd) },
	{ UBLK_OPT_KEEP, "b", GIVE, OPT(keep) },
	{ UBLK_OPT_INDEX, "u", TAKE, OPT(index), 0, 0, G_MAXUINT16 },
	{ UBLK_OPT_CREATED_AT, "t", DEVICE, OPT(created_at), 0, 1, G_MAXINT64 },
};

gboolean options_valid_name(const char *name)
{
	gsize len = strlen(name);

	if (len == 0 || len > UBLK_NAME_MAX || !g_ascii_isalnum(name[0]))
		return FALSE;
	return strspn(name, UBLK_NAME_CHARACTERS) == len;
}

void options_free(Options *options)
{
	if (!options)
		return;
	descriptor_close_later(options->file_fd, options->sender);
	descriptor_close_later(options->server_fd, options->sender);
	descriptor_close_later(options->memory_fd, options->sender);
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
	options->file_fd = options->server_fd = options->memory_fd = -1;
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
		*(OptionBool *)at = g_variant_get_boolean(value) ? OPTION_TRUE : OPTION_FALSE;
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
		*(guint64 *)at = number;
		return in_range(option, number, error);
	case 's':
		return store_string(option, options, g_variant_get_string(value, NULL), error);
	case 'h':
		fd = descriptor_get(fds, g_variant_get_handle(value), option->key, error);
		*(int *)G_STRUCT_MEMBER_P(options, option->offset_h) = fd;
		return fd >= 0;
	}
	g_assert_not_reached();
}

static const Option *find(OptionsMethod method, const char *key)
{
	for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
		if ((table[i].methods & (1U << method)) && g_str_equal(table[i].key, key))
			return &table[i];
	return NULL;
}

static const struct ublk_param *find_parameter(OptionsMethod method, const char *key)
{
	return PARAMETERS & (1U << method) ? ublk_params_find(key) : NULL;
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

static gboolean is_of_type(const char *key, GVariant *value, const char *types, GError **error)
{
	const char *type = g_variant_get_type_string(value);

	if (!type[1] && strchr(types, type[0]))
		return TRUE;
	return invalid(error, "option \"%s\" wants %s, not the type \"%.20s\"", key,
		       type_name(types[0]), type);
}

static gboolean store_parameter(const struct ublk_param *param, Options *options, GVariant *value,
				GError **error)
{
	static const char *const types[] = {
		[UBLK_PARAM_BOOL] = "b",
		[UBLK_PARAM_U32] = "u",
		[UBLK_PARAM_U64] = "t",
	};
	guint64 number;
	const char *why;

	if (!is_of_type(param->name, value, types[param->kind], error))
		return FALSE;
	number = param->kind == UBLK_PARAM_BOOL  ? (guint64)g_variant_get_boolean(value)
		 : param->kind == UBLK_PARAM_U32 ? g_variant_get_uint32(value)
						 : g_variant_get_uint64(value);
	why = ublk_params_check(param, number);
	if (why && !number)
		return invalid(error, "option \"%s\" %s", param->name, why);
	if (why)
		return invalid(error, "option \"%s\" is %" G_GUINT64_FORMAT ", which %s",
			       param->name, number, why);
	ublk_params_store(&options->limits, param, number);
	options->given |= ublk_params_bit(param);
	return TRUE;
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
		const Option *option = find(method, key);
		const struct ublk_param *param = option ? NULL : find_parameter(method, key);
		guint64 bit;

		if (!option && !param) {
			invalid(error, "there is no option \"%.100s\" here", key);
			return NULL;
		}
		bit = option ? 1ULL << (option - table) : (guint64)ublk_params_bit(param) << 32;
		if (seen & bit) {
			invalid(error, "option \"%s\" is given twice", key);
			return NULL;
		}
		seen |= bit;
		if (option ? !is_of_type(key, value, option->type, error) ||
				     !store(option, options, value, fds, error)
			   : !store_parameter(param, options, value, error))
			return NULL;
	}
	/* the driver would round it down */
	if (options->max_io_size % (guint)sysconf(_SC_PAGESIZE)) {
		invalid(error,
			"option \"max-io-size\" is %u, which is not a multiple of the page size",
			options->max_io_size);
		return NULL;
	}
	return g_steal_pointer(&options);
}

gboolean options_parse_report(char **lines, struct ublk_limits *limits, GError **error)
{
	*limits = (struct ublk_limits){ 0 };
	for (; *lines; lines++) {
		g_auto(GStrv) pair = NULL;
		const struct ublk_param *param;
		guint64 value;

		if (!**lines)
			continue;
		pair = g_strsplit(*lines, "=", 2);
		param = ublk_params_find(pair[0]);
		if (!param || !pair[1])
			return invalid(error,
				       "the server reports \"%.100s\", which means nothing here",
				       *lines);
		/* what the kernel is told is checked in ublk_params_build(); 0 means "not set" */
		if (!g_ascii_string_to_unsigned(pair[1], 10, 0,
						param->kind == UBLK_PARAM_U64   ? G_MAXUINT64
						: param->kind == UBLK_PARAM_U32 ? G_MAXUINT32
										: 1,
						&value, NULL))
			return invalid(error,
				       "the server reports \"%.100s\", which is no such number",
				       *lines);
		ublk_params_store(limits, param, value);
	}
	return TRUE;
}
