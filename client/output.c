/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output.h"

#include <pwd.h>
#include <string.h>

#include "json.h"

char *output_format_size(guint64 bytes)
{
	static const char units[] = "KMGTPE";
	int unit = -1;
	guint64 whole = bytes, rest = 0, tenths;

	while (whole >= 1024) {
		rest = whole % 1024;
		whole /= 1024;
		unit++;
	}
	if (unit < 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
	tenths = (rest * 10 + 512) / 1024;
	if (tenths == 10) {
		whole++;
		tenths = 0;
	}
	if (whole == 1024 && units[unit + 1]) {
		whole = 1;
		unit++;
	}
	if (tenths == 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT "%c", whole, units[unit]);
	return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT "%c", whole, tenths,
			       units[unit]);
}

char *output_escape_text(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	g_autoptr(GString) out = g_string_new(NULL);

	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		/* Also the C1 controls and the marks that reverse the direction of text. */
		if (g_unichar_iscntrl(c) || (c >= 0x202a && c <= 0x202e) ||
		    (c >= 0x2066 && c <= 0x2069))
			g_string_append_printf(out, "\\x%02x", c);
		else
			g_string_append_unichar(out, c);
	}
	return g_string_free(g_steal_pointer(&out), FALSE);
}

gboolean output_is_namespaced(void)
{
	g_autofree char *map = NULL;
	guint64 inside, outside, count;
	char *p;

	if (!g_file_get_contents("/proc/self/uid_map", &map, NULL, NULL))
		return FALSE;
	inside = g_ascii_strtoull(map, &p, 10);
	outside = g_ascii_strtoull(p, &p, 10);
	count = g_ascii_strtoull(p, &p, 10);
	return inside != 0 || outside != 0 || count != G_MAXUINT32;
}

/* NULL: this machine, or this namespace, has no name for it. */
static char *get_user_name(guint32 uid)
{
	const struct passwd *user = output_is_namespaced() ? NULL : getpwuid(uid);

	return user ? output_escape_text(user->pw_name) : NULL;
}

char *output_format_user(guint32 uid)
{
	char *name = get_user_name(uid);

	return name ? name : g_strdup_printf("%u", uid);
}

static char *format_pid(guint32 pid)
{
	return pid ? g_strdup_printf("%u", pid) : g_strdup("-");
}

static char *format_word(const char *word)
{
	return *word ? output_escape_text(word) : g_strdup("-");
}

static char *format_bytes(guint64 bytes, gboolean plain)
{
	return plain ? g_strdup_printf("%" G_GUINT64_FORMAT, bytes) : output_format_size(bytes);
}

enum column { DEVICE, NAME, SIZE, TARGET, STATE, OWNER, SERVER, RO, N_COLUMNS };

static const struct {
	const char *heading;
	gboolean right;
} columns[N_COLUMNS] = {
	[DEVICE] = { "DEVICE", FALSE }, [NAME] = { "NAME", FALSE },   [SIZE] = { "SIZE", TRUE },
	[TARGET] = { "TARGET", FALSE }, [STATE] = { "STATE", FALSE }, [OWNER] = { "OWNER", FALSE },
	[SERVER] = { "SERVER", TRUE },  [RO] = { "RO", FALSE },
};

static char *format_cell(const Device *device, enum column column, gboolean bytes)
{
	switch (column) {
	case DEVICE:
		return format_word(device->block_device);
	case NAME:
		return format_word(device->name);
	case SIZE:
		return format_bytes(device->size, bytes);
	case TARGET:
		return format_word(device->target);
	case STATE:
		return format_word(device->state);
	case OWNER:
		return output_format_user(device->owner_uid);
	case SERVER:
		return format_pid(device->server_pid);
	case RO:
		return g_strdup(device->read_only ? "yes" : "no");
	case N_COLUMNS:
		break;
	}
	g_assert_not_reached();
}

static void print_cell(FILE *stream, enum column column, const char *text, int width)
{
	int padding = width - (int)g_utf8_strlen(text, -1);

	/* Nothing behind the last column: no trailing blanks. */
	if (column == N_COLUMNS - 1)
		fprintf(stream, "%s\n", text);
	else if (columns[column].right)
		fprintf(stream, "%*s%s  ", padding, "", text);
	else
		fprintf(stream, "%s%*s  ", text, padding, "");
}

void output_print_table(FILE *stream, GPtrArray *devices, gboolean bytes)
{
	g_autoptr(GPtrArray) cells = g_ptr_array_new_with_free_func(g_free);
	int width[N_COLUMNS];

	for (int column = 0; column < N_COLUMNS; column++)
		g_ptr_array_add(cells, g_strdup(columns[column].heading));
	for (guint i = 0; i < devices->len; i++)
		for (int column = 0; column < N_COLUMNS; column++)
			g_ptr_array_add(cells, format_cell(devices->pdata[i], column, bytes));
	for (int column = 0; column < N_COLUMNS; column++) {
		width[column] = 0;
		for (guint cell = column; cell < cells->len; cell += N_COLUMNS)
			width[column] =
				MAX(width[column], (int)g_utf8_strlen(cells->pdata[cell], -1));
	}
	for (guint cell = 0; cell < cells->len; cell++)
		print_cell(stream, cell % N_COLUMNS, cells->pdata[cell], width[cell % N_COLUMNS]);
}

static void print_line(FILE *stream, const char *key, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void print_line(FILE *stream, const char *key, const char *format, ...)
{
	g_autofree char *value = NULL, *safe = NULL;
	va_list arguments;

	va_start(arguments, format);
	value = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	safe = output_escape_text(value);
	fprintf(stream, "%-20s %s\n", key, safe);
}

static void print_size(FILE *stream, const char *key, guint64 bytes)
{
	g_autofree char *size = output_format_size(bytes);

	if (bytes < 1024)
		print_line(stream, key, "%s", size);
	else
		print_line(stream, key, "%s (%" G_GUINT64_FORMAT " bytes)", size, bytes);
}

static char *format_time(guint64 microseconds, gboolean utc)
{
	g_autoptr(GDateTime) time = utc ? g_date_time_new_from_unix_utc(microseconds / 1000000)
					: g_date_time_new_from_unix_local(microseconds / 1000000);

	/* NULL: a number that is no date. */
	if (!time || microseconds == 0)
		return NULL;
	return g_date_time_format(time, utc ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S %Z");
}

void output_print_device(FILE *stream, const Device *device, const char *backing_file)
{
	g_autofree char *user = output_format_user(device->owner_uid);
	g_autofree char *flags = g_strjoinv(" ", device->flag_names);
	g_autofree char *cpus = g_strjoinv(" : ", device->queue_cpus);
	g_autofree char *created = format_time(device->created_at, FALSE);

	print_line(stream, "Device:", "%s", device->block_device);
	print_line(stream, "Name:", "%s", device->name);
	print_line(stream, "Owner:", "%s (uid %u, gid %u)", user, device->owner_uid,
		   device->owner_gid);
	print_line(stream, "State:", "%s", device->state);
	print_line(stream, "Target:", "%s",
		   *device->target ? device->target : "(its owner runs the server)");
	if (backing_file && *backing_file)
		print_line(stream, "Backing file:", "%s", backing_file);
	print_size(stream, "Size:", device->size);
	print_line(stream, "Read only:", "%s", device->read_only ? "yes" : "no");
	print_size(stream, "Logical block size:", device->logical_block_size);
	print_size(stream, "Physical block size:", device->physical_block_size);
	print_line(stream, "Queues:", "%u, each with %u requests", device->queues, device->depth);
	print_line(stream, "CPUs of the queues:", "%s", cpus);
	print_size(stream, "Largest request:", device->max_io_size);
	print_line(stream, "Flags:", "0x%" G_GINT64_MODIFIER "x %s", device->flags, flags);
	print_line(stream, "Trusted:", "%s", device->trusted ? "yes" : "no");
	print_line(stream, "Character device:", "%s", device->char_device);
	if (device->server_pid)
		print_line(stream, "Server:", "process %u", device->server_pid);
	if (device->shared_memory)
		print_size(stream, "Shared memory:", device->shared_memory);
	if (created)
		print_line(stream, "Created:", "%s", created);
}

static void add(GVariantBuilder *builder, const char *key, GVariant *value)
{
	g_variant_builder_add(builder, "{sv}", key, value);
}

/* Text, or null when it is empty. */
static void add_text(GVariantBuilder *builder, const char *key, const char *text)
{
	add(builder, key, g_variant_new("ms", text && *text ? text : NULL));
}

static GVariant *build_device(const Device *device, gboolean with_backing_file,
			      const char *backing_file)
{
	g_autofree char *user = get_user_name(device->owner_uid);
	g_autofree char *created = format_time(device->created_at, TRUE);
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	add(&b, "id", g_variant_new_uint32(device->id));
	add_text(&b, "name", device->name);
	add_text(&b, "block_device", device->block_device);
	add_text(&b, "char_device", device->char_device);
	add_text(&b, "owner", user);
	add(&b, "owner_uid", g_variant_new_uint32(device->owner_uid));
	add(&b, "owner_gid", g_variant_new_uint32(device->owner_gid));
	add_text(&b, "state", device->state);
	add_text(&b, "target", device->target);
	if (with_backing_file)
		add_text(&b, "backing_file", backing_file);
	add(&b, "size", g_variant_new_uint64(device->size));
	add(&b, "logical_block_size", g_variant_new_uint32(device->logical_block_size));
	add(&b, "physical_block_size", g_variant_new_uint32(device->physical_block_size));
	add(&b, "read_only", g_variant_new_boolean(device->read_only));
	add(&b, "queues", g_variant_new_uint32(device->queues));
	add(&b, "depth", g_variant_new_uint32(device->depth));
	add(&b, "queue_cpus", g_variant_new_strv((const char *const *)device->queue_cpus, -1));
	add(&b, "max_io_size", g_variant_new_uint32(device->max_io_size));
	add(&b, "flags", g_variant_new_uint64(device->flags));
	add(&b, "flag_names", g_variant_new_strv((const char *const *)device->flag_names, -1));
	add(&b, "trusted", g_variant_new_boolean(device->trusted));
	/* No process is null, not number 0. */
	if (device->server_pid)
		add(&b, "server_pid", g_variant_new_uint32(device->server_pid));
	else
		add_text(&b, "server_pid", NULL);
	add(&b, "shared_memory", g_variant_new_uint64(device->shared_memory));
	add_text(&b, "created_at", created);
	return g_variant_builder_end(&b);
}

void output_print_json(FILE *stream, GPtrArray *devices, GPtrArray *backing_files)
{
	g_autofree char *text = NULL;
	GVariantBuilder list, top;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	for (guint i = 0; i < devices->len; i++)
		g_variant_builder_add_value(
			&list, build_device(devices->pdata[i], backing_files != NULL,
					    backing_files ? backing_files->pdata[i] : NULL));
	g_variant_builder_init(&top, G_VARIANT_TYPE_VARDICT);
	add(&top, "version", g_variant_new_uint32(OUTPUT_JSON_VERSION));
	add(&top, "devices", g_variant_builder_end(&list));
	text = json_print(g_variant_builder_end(&top));
	fprintf(stream, "%s\n", text);
}
