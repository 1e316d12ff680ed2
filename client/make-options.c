/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make-options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errors.h"
#include "parse.h"
#include "ublk-dbus.h"

enum kind {
	TARGET,
	FILE_NAME,
	TEXT,
	NUMBER, /* u */
	SIZE32, /* u, bytes */
	SIZE64, /* t, bytes */
	TRUTH,  /* b, true by being there */
	FALSITY /* b, false by being there */
};

/* Who has to know: the driver, before a server runs; or the server, which tells what the device is.
 */
enum stage { STAGE_NONE, STAGE_CREATE, STAGE_SERVER };

static const struct option {
	const char *name;
	char short_name;
	enum kind kind;
	const char *key;
	enum stage stage;
	/* What ublk-server calls it. */
	const char *argument;
} options_table[] = {
	{ "target", 't', TARGET, NULL, STAGE_NONE, NULL },
	{ "file", 'f', FILE_NAME, UBLK_OPT_FILE, STAGE_NONE, NULL },
	{ "name", 0, TEXT, UBLK_OPT_NAME, STAGE_CREATE, NULL },
	{ "id", 'n', NUMBER, UBLK_OPT_ID, STAGE_CREATE, NULL },
	{ "number", 0, NUMBER, UBLK_OPT_ID, STAGE_CREATE, NULL },
	{ "queues", 'q', NUMBER, UBLK_OPT_QUEUES, STAGE_CREATE, NULL },
	{ "depth", 'd', NUMBER, UBLK_OPT_DEPTH, STAGE_CREATE, NULL },
	{ "max-io-size", 0, SIZE32, UBLK_OPT_MAX_IO_SIZE, STAGE_CREATE, NULL },
	{ "size", 0, SIZE64, UBLK_OPT_SIZE, STAGE_SERVER, "--size" },
	{ "read-only", 'r', TRUTH, UBLK_OPT_READ_ONLY, STAGE_SERVER, "--read-only" },
	{ "logical-block-size", 0, SIZE32, UBLK_OPT_LOGICAL_BLOCK_SIZE, STAGE_SERVER,
	  "--logical-block-size" },
	{ "direct", 0, TRUTH, UBLK_OPT_DIRECT, STAGE_SERVER, "--direct" },
	{ "buffered", 0, FALSITY, UBLK_OPT_DIRECT, STAGE_SERVER, "--buffered" },
};

static gboolean parse_option(const char *name, const char *value, gpointer data, GError **error);

#define OPTION(name, letter, flags, help, value)                                                \
	{                                                                                       \
		name, letter, flags, G_OPTION_ARG_CALLBACK, (gpointer)parse_option, help, value \
	}

const GOptionEntry make_options_entries[] = {
	OPTION("target", 't', 0, "What serves it: loop (a file or block device) or null", "TARGET"),
	OPTION("file", 'f', G_OPTION_FLAG_FILENAME, "The backing file of loop", "FILE"),
	OPTION("name", 0, 0, "A name, unique among your devices (default: ublkN)", "NAME"),
	OPTION("id", 'n', 0, "The number N of /dev/ublkbN (default: the first free one)", "ID"),
	OPTION("number", 0, G_OPTION_FLAG_HIDDEN, "The same as --id", "ID"),
	OPTION("queues", 'q', 0, "How many queues (default: 1)", "N"),
	OPTION("depth", 'd', 0, "Requests in flight for each queue (default: 128)", "N"),
	OPTION("max-io-size", 0, 0, "The largest request (default: 512K)", "SIZE"),
	OPTION("size", 0, 0, "The device's size; null needs it, loop takes the file's", "SIZE"),
	OPTION("read-only", 'r', G_OPTION_FLAG_NO_ARG, "Refuse writes", NULL),
	OPTION("logical-block-size", 0, 0, "The unit of requests", "SIZE"),
	OPTION("direct", 0, G_OPTION_FLAG_NO_ARG,
	       "Bypass the page cache of the backing file, or fail", NULL),
	OPTION("buffered", 0, G_OPTION_FLAG_NO_ARG, "Use the page cache of the backing file", NULL),
	{ NULL },
};

/* @name as it was typed: "-q" or "--queues". */
static const struct option *find_option(const char *name)
{
	for (gsize i = 0; i < G_N_ELEMENTS(options_table); i++) {
		const struct option *option = &options_table[i];

		if (name[1] == '-' ? strcmp(option->name, name + 2) == 0
				   : option->short_name == name[1])
			return option;
	}
	g_assert_not_reached();
}

static GVariant *parse_value(const struct option *option, const char *text, GError **error)
{
	guint64 number;

	switch (option->kind) {
	case TEXT:
		return g_variant_new_string(text);
	case NUMBER:
		return parse_number(text, G_MAXUINT32, &number, error)
			       ? g_variant_new_uint32(number)
			       : NULL;
	case SIZE32:
		return parse_size(text, G_MAXUINT32, &number, error) ? g_variant_new_uint32(number)
								     : NULL;
	case SIZE64:
		return parse_size(text, G_MAXINT64, &number, error) ? g_variant_new_uint64(number)
								    : NULL;
	case TRUTH:
		return g_variant_new_boolean(TRUE);
	case FALSITY:
		return g_variant_new_boolean(FALSE);
	case TARGET:
	case FILE_NAME:
		break;
	}
	g_assert_not_reached();
}

static gboolean parse_option(const char *name, const char *text, gpointer data, GError **error)
{
	const struct option *option = find_option(name);
	MakeOptions *options = data;
	GVariant *value, *before;

	if (option->kind == TARGET) {
		g_free(options->target);
		options->target = g_strdup(text);
		return TRUE;
	}
	if (option->kind == FILE_NAME) {
		g_free(options->file);
		options->file = make_options_get_absolute(text);
		return TRUE;
	}
	value = parse_value(option, text, error);
	if (!value) {
		g_prefix_error(error, "%s: ", name);
		return FALSE;
	}
	g_variant_ref_sink(value);
	/* The last one wins, as everywhere; but yes and no together is a mistake. */
	before = g_hash_table_lookup(options->values, option->key);
	if (before && strcmp(option->key, UBLK_OPT_DIRECT) == 0 &&
	    !g_variant_equal(before, value)) {
		g_variant_unref(value);
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--direct and --buffered exclude each other");
		return FALSE;
	}
	g_hash_table_insert(options->values, (gpointer)option->key, value);
	return TRUE;
}

MakeOptions *make_options_new(void)
{
	MakeOptions *options = g_new0(MakeOptions, 1);

	options->values = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
						(GDestroyNotify)g_variant_unref);
	return options;
}

void make_options_free(MakeOptions *options)
{
	g_hash_table_unref(options->values);
	g_free(options->target);
	g_free(options->file);
	g_free(options);
}

char *make_options_get_absolute(const char *file)
{
	g_autofree char *folder = NULL;

	if (g_path_is_absolute(file))
		return g_strdup(file);
	while (g_str_has_prefix(file, "./"))
		for (file += 2; *file == '/'; file++)
			;
	folder = g_get_current_dir();
	return g_build_filename(folder, file, NULL);
}

static gboolean is_read_only(const MakeOptions *options)
{
	return g_hash_table_contains(options->values, UBLK_OPT_READ_ONLY);
}

static gboolean check_file(const MakeOptions *options, GError **error)
{
	gboolean read_only = is_read_only(options);
	struct stat st;
	const char *what;

	if (stat(options->file, &st) < 0) {
		int saved = errno;

		g_set_error(error, CLIENT_ERROR,
			    saved == ENOENT ? EXIT_CODE_NOT_FOUND : EXIT_CODE_FAILURE, "%s: %s",
			    options->file, g_strerror(saved));
		return FALSE;
	}
	what = S_ISDIR(st.st_mode)                            ? "a directory"
	       : !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) ? "something else"
							      : NULL;
	if (what) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "%s is %s; loop needs a file or a block device", options->file, what);
		return FALSE;
	}
	/* Whoever may not is told by the server too; but by then there was a device. */
	if (access(options->file, read_only ? R_OK : R_OK | W_OK) < 0) {
		int saved = errno;

		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "%s: %s%s", options->file,
			    g_strerror(saved),
			    !read_only && access(options->file, R_OK) == 0
				    ? "; with --read-only it can be used"
				    : "");
		return FALSE;
	}
	return TRUE;
}

gboolean make_options_check(const MakeOptions *options, GError **error)
{
	if (!options->target) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "say what serves the device: -t loop -f FILE, or -t null --size SIZE");
		return FALSE;
	}
	if (strcmp(options->target, "loop") == 0 && !options->file) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "-t loop needs -f FILE");
		return FALSE;
	}
	if (strcmp(options->target, "null") == 0 &&
	    !g_hash_table_contains(options->values, UBLK_OPT_SIZE)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "-t null needs --size SIZE");
		return FALSE;
	}
	return !options->file || check_file(options, error);
}

/* The values of the options of one stage, or of all (STAGE_NONE). */
static void add_values(const MakeOptions *options, enum stage stage, GVariantBuilder *builder)
{
	for (gsize i = 0; i < G_N_ELEMENTS(options_table); i++) {
		const struct option *option = &options_table[i];
		GVariant *value = option->key ? g_hash_table_lookup(options->values, option->key)
					      : NULL;

		/* Two names of one key are neighbours in the table: the first one speaks. */
		if (!value || (i > 0 && options_table[i - 1].key &&
			       strcmp(options_table[i - 1].key, option->key) == 0))
			continue;
		if (stage == STAGE_NONE || stage == option->stage)
			g_variant_builder_add(builder, "{sv}", option->key, value);
	}
}

GVariant *make_options_build_add(const MakeOptions *options, GUnixFDList *fds, GError **error)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	add_values(options, STAGE_NONE, &builder);
	if (options->file && g_utf8_validate(options->file, -1, NULL)) {
		g_variant_builder_add(&builder, "{sv}", UBLK_OPT_FILE,
				      g_variant_new_string(options->file));
	} else if (options->file) {
		int fd = open(options->file,
			      (is_read_only(options) ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		int saved = errno, index = -1;

		if (fd < 0)
			g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "%s: %s", options->file,
				    g_strerror(saved));
		else
			index = g_unix_fd_list_append(fds, fd, error);
		if (fd >= 0)
			close(fd);
		if (index < 0) {
			g_variant_builder_clear(&builder);
			return NULL;
		}
		g_variant_builder_add(&builder, "{sv}", UBLK_OPT_FILE, g_variant_new_handle(index));
	}
	return g_variant_builder_end(&builder);
}

GVariant *make_options_build_create(const MakeOptions *options)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	add_values(options, STAGE_CREATE, &builder);
	return g_variant_builder_end(&builder);
}

void make_options_append_arguments(const MakeOptions *options, GPtrArray *argv)
{
	if (options->file) {
		g_ptr_array_add(argv, g_strdup("-f"));
		g_ptr_array_add(argv, g_strdup(options->file));
	}
	for (gsize i = 0; i < G_N_ELEMENTS(options_table); i++) {
		const struct option *option = &options_table[i];
		GVariant *value =
			option->argument ? g_hash_table_lookup(options->values, option->key) : NULL;

		if (!value)
			continue;
		if (option->kind == TRUTH || option->kind == FALSITY) {
			if (g_variant_get_boolean(value) == (option->kind == TRUTH))
				g_ptr_array_add(argv, g_strdup(option->argument));
			continue;
		}
		g_ptr_array_add(argv, g_strdup(option->argument));
		g_ptr_array_add(argv, g_variant_print(value, FALSE));
	}
}
