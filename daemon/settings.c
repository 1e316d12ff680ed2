/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "settings.h"

#include <errno.h>
#include <string.h>

#include "accounts.h"
#include "conf.h"

typedef enum { COUNT, BYTES, SECONDS } Kind;

typedef struct {
	const char *group, *key;
	Kind kind;
	gsize offset;               /* in Settings, of which UserLimits is the first member */
	guint64 fallback, min, max; /* in the file's unit */
} Key;

#define OFFSET(member) G_STRUCT_OFFSET(Settings, member)

G_STATIC_ASSERT(OFFSET(user) == 0);

static const Key keys[] = {
	{ "limits", "devices-per-user", COUNT, OFFSET(user.devices_per_user), 16, 0, 1 << 20 },
	{ "limits", "devices-total", COUNT, OFFSET(devices_total), 60, 0, 1 << 20 },
	{ "limits", "queue-memory-per-user", BYTES, OFFSET(user.queue_memory_per_user), 64 << 20, 0,
	  G_MAXINT64 },
	{ "limits", "shared-memory-per-user", BYTES, OFFSET(user.shared_memory_per_user), 64 << 20,
	  0, G_MAXINT64 },
	/* no more than the table of ublk-server has, for one device may get them all */
	{ "limits", "shared-buffers-per-user", COUNT, OFFSET(user.shared_buffers_per_user), 64, 0,
	  256 },
	{ "limits", "creations-per-minute", COUNT, OFFSET(user.creations_per_minute), 300, 0,
	  1 << 20 },
	{ "limits", "calls-per-second", COUNT, OFFSET(calls_per_second), 100, 1, 1000000 },
	{ "limits", "prompts-per-sender", COUNT, OFFSET(prompts_per_sender), 1, 0, 1000 },
	{ "limits", "prompts-per-user", COUNT, OFFSET(prompts_per_user), 3, 0, 1000 },
	{ "limits", "prompts-total", COUNT, OFFSET(prompts_total), 10, 0, 1000 },
	{ "timeouts", "created", SECONDS, OFFSET(created_ms), 60, 1, 86400 },
	{ "timeouts", "start", SECONDS, OFFSET(start_ms), 15, 1, 600 },
	{ "timeouts", "stop", SECONDS, OFFSET(stop_ms), 10, 1, 600 },
	{ "timeouts", "udev", SECONDS, OFFSET(udev_ms), 10, 1, 600 },
	{ "timeouts", "prompt", SECONDS, OFFSET(prompt_ms), 60, 1, 86400 },
};

/* [user NAME] or [group NAME]. */
typedef struct {
	gboolean is_group;
	guint32 id;
	guint given; /* which of `keys`, a set of bits */
	UserLimits limits;
} Section;

typedef struct {
	Settings *settings;
	GPtrArray *problems;
	Section *section; /* the one that is being read; NULL: another group is */
	gboolean known;   /* that group means something */
} Loading;

static gboolean is_users(const Key *key)
{
	return key->offset < sizeof(UserLimits);
}

/* `base` is a Settings, or a UserLimits if the key is a user's. */
static void key_store(const Key *key, gpointer base, guint64 value)
{
	gpointer at = G_STRUCT_MEMBER_P(base, key->offset);

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

static GVariant *key_describe(const Key *key, gconstpointer base)
{
	gconstpointer at = G_STRUCT_MEMBER_P(base, key->offset);

	return key->kind == BYTES ? g_variant_new_uint64(*(const guint64 *)at)
				  : g_variant_new_uint32(*(const guint *)at);
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

static const Key *key_find(const Loading *loading, const ConfLine *line)
{
	const char *group = loading->section ? "limits" : line->group;

	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
		if (g_str_equal(keys[i].group, group) && g_str_equal(keys[i].key, line->key) &&
		    (!loading->section || is_users(&keys[i])))
			return &keys[i];
	return NULL;
}

static void complain_of_value(const Loading *loading, const ConfLine *line, const Key *key)
{
	if (key->kind == BYTES)
		conf_complain(loading->problems, line,
			      "%s=%.100s is not a number of bytes: digits, and K, M, G or T",
			      line->key, line->value);
	else
		conf_complain(loading->problems, line,
			      "%s=%.100s is not a whole number from %" G_GUINT64_FORMAT
			      " to %" G_GUINT64_FORMAT,
			      line->key, line->value, key->min, key->max);
}

static void take_value(Loading *loading, const ConfLine *line)
{
	const Key *key = key_find(loading, line);
	guint64 value = 0;
	gboolean right;

	if (!key) {
		conf_complain(loading->problems, line, "there is no key \"%.100s\" in [%s]",
			      line->key, line->group);
		return;
	}
	right = parse(key, line->value, &value);
	if (!right)
		complain_of_value(loading, line, key);
	if (loading->section) {
		loading->section->given |= 1U << (key - keys);
		key_store(key, &loading->section->limits, right ? value : 0);
	} else if (right) {
		key_store(key, loading->settings, value);
	}
}

static void begin_section(Loading *loading, const ConfLine *line, gboolean is_group,
			  const char *name)
{
	GArray *sections = loading->settings->sections;
	Section section = { .is_group = is_group };
	const char *what = is_group ? "group" : "user";
	int err = (is_group ? accounts_find_group : accounts_find_user)(name, &section.id);

	if (err == ENOENT) {
		conf_complain(loading->problems, line, "there is no %s \"%.100s\"", what, name);
		return;
	}
	if (err) {
		conf_complain(loading->problems, line, "cannot look up %s \"%.100s\": %s", what,
			      name, g_strerror(err));
		loading->settings->unsure = TRUE;
		return;
	}
	g_array_append_val(sections, section);
	loading->section = &g_array_index(sections, Section, sections->len - 1);
	loading->known = TRUE;
}

/* Nothing of a group that means nothing is looked at: one complaint about it will do. */
static void begin_group(Loading *loading, const ConfLine *line)
{
	g_auto(GStrv) words = g_strsplit_set(line->group, " \t", 2);
	const char *name = words[0] && words[1] ? g_strstrip(words[1]) : "";

	loading->section = NULL;
	loading->known = FALSE;
	if (g_str_equal(line->group, "limits") || g_str_equal(line->group, "timeouts"))
		loading->known = TRUE;
	else if (*name && g_str_equal(words[0], "user"))
		begin_section(loading, line, FALSE, name);
	else if (*name && g_str_equal(words[0], "group"))
		begin_section(loading, line, TRUE, name);
	else
		conf_complain(loading->problems, line,
			      "there is no [%.100s]; there are [limits], [timeouts], [user NAME] "
			      "and [group NAME]",
			      line->group);
}

static void take_line(const ConfLine *line, gpointer user_data)
{
	Loading *loading = user_data;

	if (!line->key)
		begin_group(loading, line);
	else if (!line->group)
		conf_complain(loading->problems, line, "%.100s stands before the first [GROUP]",
			      line->key);
	else if (loading->known)
		take_value(loading, line);
}

void settings_load(const char *path, Settings *settings, GPtrArray *problems)
{
	Loading loading = { .settings = settings, .problems = problems };
	g_autofree char *directory = g_strconcat(path, ".d", NULL);

	memset(settings, 0, sizeof(*settings));
	settings->sections = g_array_new(FALSE, FALSE, sizeof(Section));
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
		key_store(&keys[i], settings, keys[i].fallback);
	conf_read(path, take_line, &loading, problems);
	conf_read_directory(directory, take_line, &loading, problems);
}

void settings_clear(Settings *settings)
{
	g_clear_pointer(&settings->sections, g_array_unref);
}

gboolean settings_have_groups(const Settings *settings)
{
	for (guint i = 0; i < settings->sections->len; i++)
		if (g_array_index(settings->sections, Section, i).is_group)
			return TRUE;
	return FALSE;
}

static gboolean is_in(const GArray *groups, gid_t gid)
{
	for (guint i = 0; groups && i < groups->len; i++)
		if (g_array_index(groups, gid_t, i) == gid)
			return TRUE;
	return FALSE;
}

static void apply(const Section *section, UserLimits *limits)
{
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
		gconstpointer from = G_STRUCT_MEMBER_P(&section->limits, keys[i].offset);
		gpointer to = G_STRUCT_MEMBER_P(limits, keys[i].offset);

		if (section->given & (1U << i))
			memcpy(to, from, keys[i].kind == BYTES ? sizeof(guint64) : sizeof(guint));
	}
}

UserLimits settings_get_limits(const Settings *settings, uid_t uid, const GArray *groups)
{
	const GArray *sections = settings->sections;
	UserLimits limits = settings->user;

	for (guint i = 0; i < sections->len; i++) {
		const Section *section = &g_array_index(sections, Section, i);

		if (section->is_group && is_in(groups, section->id))
			apply(section, &limits);
	}
	for (guint i = 0; i < sections->len; i++) {
		const Section *section = &g_array_index(sections, Section, i);

		if (!section->is_group && section->id == uid)
			apply(section, &limits);
	}
	return limits;
}

GVariant *settings_describe(const Settings *settings)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
		if (g_str_equal(keys[i].group, "limits"))
			g_variant_builder_add(&builder, "{sv}", keys[i].key,
					      key_describe(&keys[i], settings));
	return g_variant_builder_end(&builder);
}

GVariant *settings_describe_user(const UserLimits *limits, guint devices_total)
{
	const Settings settings = { .user = *limits, .devices_total = devices_total };
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
		if (is_users(&keys[i]) || keys[i].offset == OFFSET(devices_total))
			g_variant_builder_add(&builder, "{sv}", keys[i].key,
					      key_describe(&keys[i], &settings));
	return g_variant_builder_end(&builder);
}
