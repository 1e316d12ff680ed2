/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make-options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errors.h"
#include "output.h"
#include "parse.h"
#include "progress.h"
#include "ublk-dbus.h"

#define SECTOR_SIZE 512

enum kind {
	TARGET,
	FILE_NAME,
	TEXT,
	NUMBER,  /* u */
	SIZE32,  /* u, bytes */
	SIZE64,  /* t, bytes */
	MASK,    /* t, decimal or 0x… */
	TRUTH,   /* b, true by being there */
	FALSITY, /* b, false by being there */
	/* No keys: what we do ourselves, before anybody is asked for a device. */
	CREATE,
	PREALLOCATE,
	QUIET
};

/*
 * Who has to know: the driver, before a server runs; or the server, which tells what the device is.
 * ublk-server calls the latter as we do.
 */
enum stage { STAGE_NONE, STAGE_CREATE, STAGE_SERVER };

/* Two options of one key are neighbours: two names for it, or its yes and its no. */
static const struct option {
	const char *name;
	char short_name;
	enum kind kind;
	const char *key;
	enum stage stage;
	const char *value; /* what it is called in the help; NULL: there is none */
	const char *help;  /* NULL: not shown */
} options_table[] = {
	{ "target", 't', TARGET, NULL, STAGE_NONE, "TARGET",
	  "What serves it: loop (a file or block device) or null" },
	{ "file", 'f', FILE_NAME, UBLK_OPT_FILE, STAGE_NONE, "FILE", "The backing file of loop" },
	{ "create", 0, CREATE, NULL, STAGE_NONE, "SIZE",
	  "Make that file, which must not exist yet, so large" },
	{ "preallocate", 0, PREALLOCATE, NULL, STAGE_NONE, NULL,
	  "Reserve the new file's room on the disk, now" },
	{ "quiet", 0, QUIET, NULL, STAGE_NONE, NULL,
	  "Nothing but the device's path: no progress bar" },
	{ "name", 0, TEXT, UBLK_OPT_NAME, STAGE_CREATE, "NAME",
	  "A name, unique among your devices (default: ublkN)" },
	{ "id", 'n', NUMBER, UBLK_OPT_ID, STAGE_CREATE, "ID",
	  "The number N of /dev/ublkbN (default: the first free one)" },
	{ "number", 0, NUMBER, UBLK_OPT_ID, STAGE_CREATE, "ID", NULL },
	{ "queues", 'q', NUMBER, UBLK_OPT_QUEUES, STAGE_CREATE, "N",
	  "How many queues (default: 1)" },
	{ "depth", 'd', NUMBER, UBLK_OPT_DEPTH, STAGE_CREATE, "N",
	  "Requests in flight for each queue (default: 128)" },
	{ "max-io-size", 0, SIZE32, UBLK_OPT_MAX_IO_SIZE, STAGE_CREATE, "SIZE",
	  "The largest request (default: 512K)" },
	{ "shared-memory", 0, TRUTH, UBLK_OPT_SHARED_MEMORY, STAGE_CREATE, NULL,
	  "Programs may share memory with it: direct I/O without a copy" },
	{ "size", 0, SIZE64, UBLK_OPT_SIZE, STAGE_SERVER, "SIZE",
	  "The device's size; null needs it, loop takes the file's" },
	{ "read-only", 'r', TRUTH, UBLK_OPT_READ_ONLY, STAGE_SERVER, NULL, "Refuse writes" },
	{ "direct", 0, TRUTH, UBLK_OPT_DIRECT, STAGE_SERVER, NULL,
	  "Bypass the page cache of the backing file, or fail" },
	{ "buffered", 0, FALSITY, UBLK_OPT_DIRECT, STAGE_SERVER, NULL,
	  "Use the page cache of the backing file" },
	{ "logical-block-size", 0, SIZE32, UBLK_OPT_LOGICAL_BLOCK_SIZE, STAGE_SERVER, "SIZE",
	  "The unit of requests" },
	{ "physical-block-size", 0, SIZE32, UBLK_OPT_PHYSICAL_BLOCK_SIZE, STAGE_SERVER, "SIZE",
	  "The unit that users should align to" },
	{ "io-min", 0, SIZE32, UBLK_OPT_IO_MIN, STAGE_SERVER, "SIZE",
	  "The smallest request that makes sense" },
	{ "io-opt", 0, SIZE32, UBLK_OPT_IO_OPT, STAGE_SERVER, "SIZE", "The best size of requests" },
	{ "chunk-size", 0, SIZE32, UBLK_OPT_CHUNK_SIZE, STAGE_SERVER, "SIZE",
	  "No request crosses a multiple of it" },
	{ "max-segments", 0, NUMBER, UBLK_OPT_MAX_SEGMENTS, STAGE_SERVER, "N",
	  "Pieces of memory in a request" },
	{ "max-segment-size", 0, SIZE32, UBLK_OPT_MAX_SEGMENT_SIZE, STAGE_SERVER, "SIZE",
	  "The largest such piece" },
	{ "segment-boundary-mask", 0, MASK, UBLK_OPT_SEGMENT_BOUNDARY_MASK, STAGE_SERVER, "MASK",
	  "No such piece crosses a multiple of MASK + 1" },
	{ "virt-boundary-mask", 0, MASK, UBLK_OPT_VIRT_BOUNDARY_MASK, STAGE_SERVER, "MASK",
	  "Pieces have gaps only at multiples of MASK + 1" },
	{ "dma-alignment", 0, SIZE32, UBLK_OPT_DMA_ALIGNMENT, STAGE_SERVER, "SIZE",
	  "How the memory of direct I/O is to be aligned" },
	{ "max-discard-size", 0, SIZE64, UBLK_OPT_DISCARD_SIZE, STAGE_SERVER, "SIZE",
	  "The largest discard, at most the target's; 0: none" },
	{ "discard-granularity", 0, SIZE32, UBLK_OPT_DISCARD_GRANULARITY, STAGE_SERVER, "SIZE",
	  "The unit of discards" },
	{ "discard-alignment", 0, SIZE32, UBLK_OPT_DISCARD_ALIGNMENT, STAGE_SERVER, "SIZE",
	  "Where the first such unit begins" },
	{ "max-write-zeroes-size", 0, SIZE64, UBLK_OPT_WRITE_ZEROES_SIZE, STAGE_SERVER, "SIZE",
	  "The largest write of zeroes, at most the target's; 0: none" },
	{ "rotational", 0, TRUTH, UBLK_OPT_ROTATIONAL, STAGE_SERVER, NULL,
	  "Say that it is a turning disk" },
	{ "no-rotational", 0, FALSITY, UBLK_OPT_ROTATIONAL, STAGE_SERVER, NULL,
	  "Say that it is none" },
	{ "volatile-cache", 0, TRUTH, UBLK_OPT_VOLATILE_CACHE, STAGE_SERVER, NULL,
	  "Say that only flushes make data durable" },
	{ "no-volatile-cache", 0, FALSITY, UBLK_OPT_VOLATILE_CACHE, STAGE_SERVER, NULL,
	  "Say that each write is durable; not for loop" },
	{ "fua", 0, TRUTH, UBLK_OPT_FUA, STAGE_SERVER, NULL, "Take durable writes (FUA)" },
	{ "no-fua", 0, FALSITY, UBLK_OPT_FUA, STAGE_SERVER, NULL,
	  "Have them replaced by a write and a flush" },
};

static gboolean parse_option(const char *name, const char *value, gpointer data, GError **error);

static int get_flags(const struct option *option)
{
	int flags = (option->kind == FILE_NAME ? G_OPTION_FLAG_FILENAME : 0) |
		    (option->help ? 0 : G_OPTION_FLAG_HIDDEN);

	if (option->value)
		return flags;
	/*
	 * GOption ignores the value in "--fua=no" where there can be none; so there may be one, to
	 * be refused. But behind a letter it would take the next word for it.
	 */
	return flags | (option->short_name ? G_OPTION_FLAG_NO_ARG : G_OPTION_FLAG_OPTIONAL_ARG);
}

static GOptionEntry make_entry(const struct option *option)
{
	return (GOptionEntry){
		.long_name = option->name,
		.short_name = option->short_name,
		.flags = get_flags(option),
		.arg = G_OPTION_ARG_CALLBACK,
		.arg_data = (gpointer)parse_option,
		.description = option->help,
		.arg_description = option->value,
	};
}

const GOptionEntry *make_options_get_entries(void)
{
	static GOptionEntry entries[G_N_ELEMENTS(options_table) + 1];

	for (gsize i = 0; i < G_N_ELEMENTS(options_table); i++)
		entries[i] = make_entry(&options_table[i]);
	return entries;
}

/* How ublk-server uses its file is no property of a device. */
static gboolean is_parameter(const struct option *option)
{
	return option->stage == STAGE_SERVER && strcmp(option->key, UBLK_OPT_DIRECT) != 0;
}

const GOptionEntry *make_options_get_parameter_entries(void)
{
	static GOptionEntry entries[G_N_ELEMENTS(options_table) + 1];
	gsize n = 0;

	for (gsize i = 0; i < G_N_ELEMENTS(options_table); i++)
		if (is_parameter(&options_table[i]))
			entries[n++] = make_entry(&options_table[i]);
	return entries;
}

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

static GVariant *parse_mask(const char *text, GError **error)
{
	guint64 number;

	if (g_ascii_strncasecmp(text, "0x", 2) != 0)
		return parse_number(text, G_MAXUINT64, &number, error)
			       ? g_variant_new_uint64(number)
			       : NULL;
	if (g_ascii_string_to_unsigned(text + 2, 16, 0, G_MAXUINT64, &number, NULL))
		return g_variant_new_uint64(number);
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "“%s” is not a number", text);
	return NULL;
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
	case MASK:
		return parse_mask(text, error);
	case TRUTH:
		return g_variant_new_boolean(TRUE);
	case FALSITY:
		return g_variant_new_boolean(FALSE);
	case TARGET:
	case FILE_NAME:
	case CREATE:
	case PREALLOCATE:
	case QUIET:
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
	if (text && !option->value) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "%s takes no value, “%s”", name,
			    text);
		return FALSE;
	}
	if (option->kind == QUIET) {
		progress_switch_off();
		return TRUE;
	}
	if (option->kind == PREALLOCATE) {
		options->preallocate = TRUE;
		/* The first mkfs discards the whole device, and would give back what is reserved.
		 */
		if (!g_hash_table_contains(options->values, UBLK_OPT_DISCARD_SIZE))
			g_hash_table_insert(options->values, (gpointer)UBLK_OPT_DISCARD_SIZE,
					    g_variant_ref_sink(g_variant_new_uint64(0)));
		return TRUE;
	}
	if (option->kind == CREATE) {
		options->create = parse_size(text, G_MAXINT64, &options->new_size, error);
		if (!options->create)
			g_prefix_error(error, "%s: ", name);
		return options->create;
	}
	value = parse_value(option, text, error);
	if (!value) {
		g_prefix_error(error, "%s: ", name);
		return FALSE;
	}
	g_variant_ref_sink(value);
	/* The last one wins, as everywhere; but yes and no together is a mistake. */
	before = g_hash_table_lookup(options->values, option->key);
	if (before && (option->kind == TRUTH || option->kind == FALSITY) &&
	    !g_variant_equal(before, value)) {
		const struct option *yes = option->kind == TRUTH ? option : option - 1;

		g_variant_unref(value);
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--%s and --%s exclude each other", yes->name, yes[1].name);
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
	g_clear_pointer(&options->new_file, new_file_free);
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
	while (file[0] == '.' && file[1] == '/')
		for (file += 2; *file == '/'; file++)
			;
	folder = g_get_current_dir();
	return g_build_filename(folder, file, NULL);
}

static gboolean is_read_only(const MakeOptions *options)
{
	return g_hash_table_contains(options->values, UBLK_OPT_READ_ONLY);
}

static char *explain_access(const char *file, gboolean read_only, const struct stat *st)
{
	g_autofree char *user = NULL;

	if (!read_only && access(file, R_OK) == 0)
		return g_strdup("with --read-only it can be used");
	user = output_format_user(st->st_uid);
	return g_strdup_printf("it belongs to %s, its mode is %03o", user,
			       (guint)st->st_mode & 07777);
}

/* The server leaves out what does not fill a block. A file that has none at all is an error there.
 */
static void warn_of_rest(const MakeOptions *options, guint64 size)
{
	GVariant *given = g_hash_table_lookup(options->values, UBLK_OPT_LOGICAL_BLOCK_SIZE);
	guint64 block = given ? g_variant_get_uint32(given) : SECTOR_SIZE;
	guint64 rest = block ? size % block : 0;

	if (rest && size > block && !g_hash_table_contains(options->values, UBLK_OPT_SIZE))
		g_printerr("%s: the last %" G_GUINT64_FORMAT " of the file's %" G_GUINT64_FORMAT
			   " bytes are not on the device, whose sectors have %" G_GUINT64_FORMAT
			   "\n",
			   g_get_prgname(), rest, size, block);
}

static gboolean check_file(const MakeOptions *options, GError **error)
{
	gboolean read_only = is_read_only(options);
	struct stat st;
	const char *what;

	if (stat(options->file, &st) < 0) {
		int saved = errno;

		g_set_error(error, CLIENT_ERROR,
			    saved == ENOENT ? EXIT_CODE_NOT_FOUND : EXIT_CODE_FAILURE, "%s: %s%s",
			    options->file, g_strerror(saved),
			    saved == ENOENT ? "; --create SIZE makes a new one" : "");
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
		g_autofree char *hint = NULL;
		int saved = errno;

		hint = explain_access(options->file, read_only, &st);
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "%s: %s; %s", options->file,
			    g_strerror(saved), hint);
		return FALSE;
	}
	if (S_ISREG(st.st_mode))
		warn_of_rest(options, (guint64)st.st_size);
	return TRUE;
}

static gboolean check_create(const MakeOptions *options, GError **error)
{
	const char *what = NULL;

	if (strcmp(options->target, "loop") != 0)
		what = "only loop has a file";
	else if (is_read_only(options))
		what = "a new file that is --read-only would stay empty";
	else if (options->new_size == 0 || options->new_size % SECTOR_SIZE != 0)
		what = "a device's size is a multiple of its sectors' 512 bytes";
	if (what)
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "--create: %s", what);
	return what == NULL;
}

gboolean make_options_is_empty(const MakeOptions *options)
{
	return !options->target && !options->file && !options->create && !options->preallocate &&
	       g_hash_table_size(options->values) == 0;
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
	if (options->preallocate && !options->create) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--preallocate is for the file that --create SIZE makes");
		return FALSE;
	}
	if (options->create)
		return check_create(options, error);
	return !options->file || check_file(options, error);
}

gboolean make_options_create_file(MakeOptions *options, GError **error)
{
	if (!options->create)
		return TRUE;
	options->new_file =
		new_file_create(options->file, options->new_size, options->preallocate, error);
	return options->new_file != NULL;
}

gboolean make_options_settle_file(MakeOptions *options, const GError *failure, GError **error)
{
	NewFile *file = options->new_file;

	/*
	 * Whoever may change a link or a folder on the way, however far up, chooses what the server
	 * opens by the path. Ours is the one that it has locked, or the device is none of ours.
	 */
	if (file && !failure && !new_file_is_taken(file)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			    "--create: the device's server does not have the file that was made as "
			    "%s: somebody has put something else in its place, so there is no "
			    "device; choose a path that only you can change",
			    options->file);
		return FALSE;
	}
	if (file && !failure)
		new_file_keep(file);
	else if (file && g_dbus_error_is_remote_error(failure) &&
		 errors_get_exit_code(failure) != EXIT_CODE_TIMEOUT)
		new_file_remove(file);
	return TRUE;
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

gboolean make_options_add_parameters(const MakeOptions *options, GVariantBuilder *builder)
{
	add_values(options, STAGE_SERVER, builder);
	return g_hash_table_contains(options->values, UBLK_OPT_SIZE);
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
		GVariant *value = option->stage == STAGE_SERVER
					  ? g_hash_table_lookup(options->values, option->key)
					  : NULL;
		gboolean truth = option->kind == TRUTH || option->kind == FALSITY;

		if (!value || (truth && g_variant_get_boolean(value) != (option->kind == TRUTH)))
			continue;
		g_ptr_array_add(argv, g_strconcat("--", option->name, NULL));
		if (!truth)
			g_ptr_array_add(argv, g_variant_print(value, FALSE));
	}
}

const char *make_options_get_name(const MakeOptions *options)
{
	GVariant *name = g_hash_table_lookup(options->values, UBLK_OPT_NAME);

	return name ? g_variant_get_string(name, NULL) : NULL;
}

void make_options_set_name(MakeOptions *options, const char *name)
{
	g_hash_table_insert(options->values, (gpointer)UBLK_OPT_NAME,
			    g_variant_ref_sink(g_variant_new_string(name)));
}

/* Of two options for one key: the yes or the no that was said, or the first name. */
static gboolean speaks_for_key(const struct option *option, GVariant *value)
{
	if (option->kind == TRUTH || option->kind == FALSITY)
		return g_variant_get_boolean(value) == (option->kind == TRUTH);
	return option == options_table || g_strcmp0(option[-1].key, option->key) != 0;
}

char *make_options_build_lines(const MakeOptions *options, GError **error)
{
	g_autoptr(GString) lines = g_string_new(NULL);

	g_string_append_printf(lines, "target=%s\n", options->target);
	if (options->file && strchr(options->file, '\n')) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--keep: a file whose name has a line break cannot be kept");
		return NULL;
	}
	if (options->file)
		g_string_append_printf(lines, "file=%s\n", options->file);
	for (gsize i = 0; i < G_N_ELEMENTS(options_table); i++) {
		const struct option *option = &options_table[i];
		GVariant *value = option->key ? g_hash_table_lookup(options->values, option->key)
					      : NULL;
		g_autofree char *text = NULL;

		if (!value || option->kind == TEXT || !speaks_for_key(option, value))
			continue;
		text = option->value ? g_variant_print(value, FALSE) : NULL;
		g_string_append_printf(lines, "%s%s%s\n", option->name, text ? "=" : "",
				       text ? text : "");
	}
	return g_string_free(g_steal_pointer(&lines), FALSE);
}
