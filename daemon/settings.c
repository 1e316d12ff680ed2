/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "settings.h"

#include <string.h>

typedef enum { COUNT, BYTES, SECONDS } Kind;

typedef struct {
	const char *group, *key;
	Kind kind;
	gsize offset;
	guint64 fallback, min, max; /* in the file's unit */
} Key;

#define OFFSET(member) G_STRUCT_OFFSET(Settings, member)

static const Key keys[] = {
	{ "limits", "devices-per-user", COUNT, OFFSET(devices_per_user), 16, 0, 1 << 20 },
	{ "limits", "devices-total", COUNT, OFFSET(devices_total), 60, 0, 1 << 20 },
	{ "limits", "queue-memory-per-user", BYTES, OFFSET(queue_memory_per_user), 64 << 20, 0,
	  G_MAXINT64 },
	{ "limits", "shared-memory-per-user", BYTES, OFFSET(shared_memory_per_user), 64 << 20, 0,
	  G_MAXINT64 },
	/* no more than the table of ublk-server has, for one device may get them all */
	{ "limits", "shared-buffers-per-user", COUNT, OFFSET(shared_buffers_per_user), 64, 0, 256 },
	{ "limits", "creations-per-minute", COUNT, OFFSET(creations_per_minute), 300, 0, 1 << 20 },
	{ "limits", "prompts-per-sender", COUNT, OFFSET(prompts_per_sender), 1, 0, 1000 },
	{ "limits", "prompts-per-user", COUNT, OFFSET(prompts_per_user), 3, 0, 1000 },
	{ "limits", "prompts-total", COUNT, OFFSET(prompts_total), 10, 0, 1000 },
	{ "timeouts", "created", SECONDS, OFFSET(created_ms), 60, 1, 86400 },
	{ "timeouts", "start", SECONDS, OFFSET(start_ms), 15, 1, 600 },
	{ "timeouts", "stop", SECONDS, OFFSET(stop_ms), 10, 1, 600 },
	{ "timeouts", "udev", SECONDS, OFFSET(udev_ms), 10, 1, 600 },
};

static void key_store(const Key *key, Settings *settings, guint64 value)
{
	gpointer at = G_STRUCT_MEMBER_P(settings, key->offset);

	switch (key->kind) {
	case COUNT:
		*(guint *)at = (guint)value;
		break;
	case BYTES:
		*(guint64 *)at = value;
		break;
	case SECONDS:
		*(guint *)at = (guint)value * 1000;
		break;
	}
}

/* A whole number; for BYTES with one of the suffixes K, M, G, T (powers of 1024). */
static gboolean parse(const Key *key, const char *text, guint64 *value)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	char *end;
	guint shift = 0;

	if (!g_ascii_isdigit(*text))
		return FALSE;
	*value = g_ascii_strtoull(text, &end, 10);
	if (*end && key->kind == BYTES && (suffix = strchr(suffixes, *end))) {
		shift = 10 * (guint)(suffix - suffixes + 1);
		end++;
	}
	if (*end || *value > (G_MAXUINT64 >> shift))
		return FALSE;
	*value <<= shift;
	return *value >= key->min && *value <= key->max;
}

static const Key *key_find(const char *group, const char *name)
{
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
		if (g_str_equal(keys[i].group, group) && g_str_equal(keys[i].key, name))
			return &keys[i];
	return NULL;
}

static void load_group(const char *path, GKeyFile *file, const char *group, Settings *settings)
{
	g_auto(GStrv) names = g_key_file_get_keys(file, group, NULL, NULL);

	for (char **name = names; name && *name; name++) {
		g_autofree char *text = g_key_file_get_value(file, group, *name, NULL);
		const Key *key = key_find(group, *name);
		guint64 value;

		if (!key)
			g_warning("%s: [%s] has no key \"%s\"; it is ignored", path, group, *name);
		else if (!text || !parse(key, text, &value))
			g_warning("%s: [%s] %s=%s is not a whole number from %" G_GUINT64_FORMAT
				  " to %" G_GUINT64_FORMAT "; the default %" G_GUINT64_FORMAT
				  " is used",
				  path, group, *name, text, key->min, key->max, key->fallback);
		else
			key_store(key, settings, value);
	}
}

void settings_load(const char *path, Settings *settings)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) groups = NULL;

	memset(settings, 0, sizeof(*settings));
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
		key_store(&keys[i], settings, keys[i].fallback);

	if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &error)) {
		if (!g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			g_warning("%s: %s; every setting has its default", path, error->message);
		return;
	}
	groups = g_key_file_get_groups(file, NULL);
	for (char **group = groups; *group; group++) {
		if (g_str_equal(*group, "limits") || g_str_equal(*group, "timeouts"))
			load_group(path, file, *group, settings);
		else
			g_warning("%s: there is no group [%s]; it is ignored", path, *group);
	}
}

GVariant *settings_describe(const Settings *settings)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
		gconstpointer at = G_STRUCT_MEMBER_P(settings, keys[i].offset);

		if (!g_str_equal(keys[i].group, "limits"))
			continue;
		g_variant_builder_add(&builder, "{sv}", keys[i].key,
				      keys[i].kind == BYTES
					      ? g_variant_new_uint64(*(const guint64 *)at)
					      : g_variant_new_uint32(*(const guint *)at));
	}
	return g_variant_builder_end(&builder);
}
