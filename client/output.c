/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "errors.h"
#include "json.h"
#include "table.h"
#include "ublk-dbus.h"

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

gboolean output_is_control(gunichar c)
{
	return g_unichar_iscntrl(c) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

char *output_escape_text(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	g_autoptr(GString) out = g_string_new(NULL);

	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (output_is_control(c))
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

/* "12s", "5m", "3h", "20d": since then, the largest unit alone. */
static char *format_age(guint64 created_at, gint64 now)
{
	static const struct {
		gint64 seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	gint64 seconds = MAX((now - (gint64)created_at) / G_USEC_PER_SEC, 0);
	gsize i = 0;

	if (!created_at)
		return g_strdup("-");
	while (i < G_N_ELEMENTS(units) - 1 && seconds < units[i].seconds)
		i++;
	return g_strdup_printf("%" G_GINT64_FORMAT "%c", seconds / units[i].seconds, units[i].unit);
}

enum terminal_style output_get_state_style(const char *state)
{
	if (g_str_equal(state, UBLK_STATE_LIVE))
		return TERMINAL_GOOD;
	if (g_str_equal(state, UBLK_STATE_DEAD) || g_str_equal(state, UBLK_STATE_QUIESCED))
		return TERMINAL_BAD;
	return TERMINAL_PASSING;
}

void output_print_table(FILE *stream, GPtrArray *devices, gboolean bytes,
			const struct terminal *terminal)
{
	static const struct table_column columns[] = {
		{ .heading = "DEVICE" },
		{ .heading = "NAME", .least = 8 },
		{ .heading = "SIZE", .right = TRUE },
		{ .heading = "TARGET", .least = 6, .dispensable = 2 },
		{ .heading = "STATE" },
		{ .heading = "OWNER", .least = 8, .dispensable = 1 },
		{ .heading = "SERVER", .right = TRUE, .dispensable = 4 },
		{ .heading = "RO", .dispensable = 5 },
		{ .heading = "AGE", .right = TRUE, .dispensable = 3 },
	};
	g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
	gint64 now = g_get_real_time();

	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];

		table_add(table, format_word(device->block_device), TERMINAL_PLAIN);
		table_add(table, format_word(device->name), TERMINAL_PLAIN);
		table_add(table, format_bytes(device->size, bytes), TERMINAL_PLAIN);
		table_add(table, format_word(device->target), TERMINAL_PLAIN);
		table_add(table, format_word(device->state), output_get_state_style(device->state));
		table_add(table, output_format_user(device->owner_uid), TERMINAL_PLAIN);
		table_add(table, format_pid(device->server_pid), TERMINAL_PLAIN);
		table_add(table, g_strdup(device->read_only ? "yes" : "no"), TERMINAL_PLAIN);
		table_add(table, format_age(device->created_at, now), TERMINAL_PLAIN);
	}
	table_print(table, stream, terminal);
}

void output_print_paths(FILE *stream, GPtrArray *devices)
{
	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];
		g_autofree char *path = output_escape_text(device->block_device);

		fprintf(stream, "%s\n", path);
	}
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

char *output_format_time(guint64 microseconds)
{
	return format_time(microseconds, FALSE);
}

void output_print_device(FILE *stream, const Device *device, const char *backing_file)
{
	g_autofree char *user = output_format_user(device->owner_uid);
	g_autofree char *flags = g_strjoinv(" ", device->flag_names);
	g_autofree char *cpus = g_strjoinv(" : ", device->queue_cpus);
	g_autofree char *created = output_format_time(device->created_at);

	print_line(stream, "Device:", "%s", device->block_device);
	print_line(stream, "Name:", "%s", device->name);
	print_line(stream, "Owner:", "%s (uid %u, gid %u)", user, device->owner_uid,
		   device->owner_gid);
	print_line(stream, "State:", "%s", device->state);
	if (*device->ending)
		print_line(stream, "Goes away:", "%s", device->ending);
	if (*device->server_error)
		print_line(stream, "Server's last error:", "%s", device->server_error);
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

static void add_device(GVariantBuilder *b, const Device *device)
{
	g_autofree char *user = get_user_name(device->owner_uid);
	g_autofree char *created = format_time(device->created_at, TRUE);

	add(b, "id", g_variant_new_uint32(device->id));
	add_text(b, "name", device->name);
	add_text(b, "block_device", device->block_device);
	add_text(b, "char_device", device->char_device);
	add_text(b, "owner", user);
	add(b, "owner_uid", g_variant_new_uint32(device->owner_uid));
	add(b, "owner_gid", g_variant_new_uint32(device->owner_gid));
	add_text(b, "state", device->state);
	add_text(b, "ending", device->ending);
	add_text(b, "server_error", device->server_error);
	add_text(b, "target", device->target);
	add(b, "size", g_variant_new_uint64(device->size));
	add(b, "logical_block_size", g_variant_new_uint32(device->logical_block_size));
	add(b, "physical_block_size", g_variant_new_uint32(device->physical_block_size));
	add(b, "read_only", g_variant_new_boolean(device->read_only));
	add(b, "queues", g_variant_new_uint32(device->queues));
	add(b, "depth", g_variant_new_uint32(device->depth));
	add(b, "queue_cpus", g_variant_new_strv((const char *const *)device->queue_cpus, -1));
	add(b, "max_io_size", g_variant_new_uint32(device->max_io_size));
	add(b, "flags", g_variant_new_uint64(device->flags));
	add(b, "flag_names", g_variant_new_strv((const char *const *)device->flag_names, -1));
	add(b, "trusted", g_variant_new_boolean(device->trusted));
	/* No process is null, not number 0. */
	if (device->server_pid)
		add(b, "server_pid", g_variant_new_uint32(device->server_pid));
	else
		add_text(b, "server_pid", NULL);
	add(b, "shared_memory", g_variant_new_uint64(device->shared_memory));
	add_text(b, "created_at", created);
}

GVariant *output_build_device(const Device *device)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	add_device(&builder, device);
	return g_variant_builder_end(&builder);
}

char *output_format_now(void)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();

	return g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
}

void output_print_json(FILE *stream, GPtrArray *devices, GPtrArray *backing_files)
{
	g_autofree char *text = NULL;
	GVariantBuilder list, top;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	for (guint i = 0; i < devices->len; i++) {
		g_variant_builder_open(&list, G_VARIANT_TYPE_VARDICT);
		add_device(&list, devices->pdata[i]);
		/* A list does not ask for paths; null says that there is none, or that it is not
		 * told. */
		if (backing_files)
			add_text(&list, "backing_file", backing_files->pdata[i]);
		g_variant_builder_close(&list);
	}
	g_variant_builder_init(&top, G_VARIANT_TYPE_VARDICT);
	add(&top, "version", g_variant_new_uint32(OUTPUT_JSON_VERSION));
	add(&top, "devices", g_variant_builder_end(&list));
	text = json_print(g_variant_builder_end(&top));
	fprintf(stream, "%s\n", text);
}

gboolean output_flush(GError **error)
{
	int result = fflush(stdout);

	if (result == 0 && !ferror(stdout))
		return TRUE;
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
		    "cannot write to the standard output%s%s", result ? ": " : "",
		    result ? g_strerror(errno) : "");
	return FALSE;
}
