/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-word.h"

#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "errors.h"
#include "output.h"
#include "parse.h"
#include "suggest.h"

#define BY_UBLK   "/dev/disk/by-ublk/"
#define MAX_LINKS 8

/* "ublkb7" and "ublkc7". */
static gboolean parse_node_name(const char *name, guint32 *id)
{
	return (g_str_has_prefix(name, "ublkb") || g_str_has_prefix(name, "ublkc")) &&
	       parse_u32(name + strlen("ublkb"), id);
}

static gboolean parse_number_word(const char *word, guint32 *id)
{
	return parse_u32(word, id) || parse_node_name(word, id);
}

gboolean device_word_is_number(const char *word)
{
	guint32 id;

	return parse_number_word(word, &id);
}

/* A node, whatever its name: in a container /dev/ublkb7 may be called /dev/xvda. */
static gboolean get_id_of_node(const char *path, guint32 *id)
{
	g_autofree char *entry = NULL, *target = NULL, *name = NULL;
	struct stat st;

	if (stat(path, &st) < 0 || !(S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)))
		return FALSE;
	entry = g_strdup_printf("/sys/dev/%s/%u:%u", S_ISBLK(st.st_mode) ? "block" : "char",
				major(st.st_rdev), minor(st.st_rdev));
	target = g_file_read_link(entry, NULL);
	if (!target)
		return FALSE;
	name = g_path_get_basename(target);
	return parse_node_name(name, id);
}

/* A path, also one whose node is not there (yet, or in this container): by where its links lead. */
static gboolean get_id_of_path(const char *word, guint32 *id)
{
	g_autofree char *path = NULL;

	if (get_id_of_node(word, id))
		return TRUE;
	/* To GLib, "//dev" is another root. */
	while (g_str_has_prefix(word, "//"))
		word++;
	path = g_canonicalize_filename(word, NULL);
	for (int i = 0; i < MAX_LINKS; i++) {
		g_autofree char *target = NULL, *folder = NULL;

		if (g_str_has_prefix(path, "/dev/") && parse_node_name(path + strlen("/dev/"), id))
			return TRUE;
		target = g_file_read_link(path, NULL);
		if (!target)
			return FALSE;
		folder = g_path_get_dirname(path);
		g_free(path);
		path = g_canonicalize_filename(target, folder);
	}
	return FALSE;
}

static Device *find_id(GPtrArray *devices, guint32 id)
{
	for (guint i = 0; i < devices->len; i++) {
		Device *device = devices->pdata[i];

		if (device->id == id)
			return device;
	}
	return NULL;
}

static Device *find_name(GPtrArray *devices, guint32 uid, const char *name)
{
	for (guint i = 0; i < devices->len; i++) {
		Device *device = devices->pdata[i];

		if (device->owner_uid == uid && strcmp(device->name, name) == 0)
			return device;
	}
	return NULL;
}

/* "UID-NAME", as the link in /dev/disk/by-ublk is called; "UID/NAME" or "USER/NAME". */
static gboolean parse_owner_and_name(const char *text, char separator, guint32 *uid,
				     const char **name)
{
	const char *end = strchr(text, separator);
	g_autofree char *owner = end ? g_strndup(text, end - text) : NULL;
	const struct passwd *user;

	if (!end || end == text)
		return FALSE;
	*name = end + 1;
	if (parse_u32(owner, uid))
		return TRUE;
	user = separator == '/' && !output_is_namespaced() ? getpwnam(owner) : NULL;
	if (user)
		*uid = user->pw_uid;
	return user != NULL;
}

/* Whoever owns the current directory must not choose what root's "alice/work" means. */
static gboolean is_path(const char *word)
{
	return word[0] == '/' || g_str_has_prefix(word, "./") || g_str_has_prefix(word, "../");
}

static Device *find_path(GPtrArray *devices, const char *word)
{
	const char *name;
	guint32 id, uid;

	if (is_path(word) && get_id_of_path(word, &id))
		return find_id(devices, id);
	if (g_str_has_prefix(word, BY_UBLK) &&
	    parse_owner_and_name(word + strlen(BY_UBLK), '-', &uid, &name))
		return find_name(devices, uid, name);
	if (!is_path(word) && parse_owner_and_name(word, '/', &uid, &name))
		return find_name(devices, uid, name);
	return NULL;
}

/* The name of a device of one's own that is nearest to @word, or NULL. Owned by the device. */
static const char *suggest_name(GPtrArray *devices, guint32 own_uid, const char *word)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];

		if (device->owner_uid == own_uid)
			g_ptr_array_add(names, device->name);
	}
	g_ptr_array_add(names, NULL);
	return suggest_word(word, (const char *const *)names->pdata);
}

static void set_not_found(GError **error, GPtrArray *devices, guint32 own_uid, const char *word)
{
	g_autoptr(GString) others = g_string_new(NULL);
	const char *meant = suggest_name(devices, own_uid, word);

	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];

		g_autofree char *user = NULL;

		if (strcmp(device->name, word) != 0)
			continue;
		user = output_format_user(device->owner_uid);
		g_string_append_printf(others, "%s%s/%s", others->len ? " or " : "", user,
				       device->name);
	}
	if (others->len)
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND,
			    "no device of yours has the name “%s”; for somebody else's say %s",
			    word, others->str);
	else if (meant)
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND,
			    "there is no device “%s”; did you mean %s?", word, meant);
	else
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND,
			    "there is no device “%s”; `ublk-client list -a` shows all", word);
}

Device *device_word_find(GPtrArray *devices, const char *word, guint32 own_uid, GError **error)
{
	Device *by_number = NULL, *by_name = NULL;
	guint32 id;

	if (strchr(word, '/')) {
		by_number = find_path(devices, word);
	} else {
		if (parse_number_word(word, &id))
			by_number = find_id(devices, id);
		by_name = find_name(devices, own_uid, word);
	}
	if (by_number && by_name && by_number != by_name) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "“%s” may be %s (its number) or %s (its name): say which", word,
			    by_number->block_device, by_name->block_device);
		return NULL;
	}
	if (!by_number && !by_name)
		set_not_found(error, devices, own_uid, word);
	return by_number ? by_number : by_name;
}

gboolean device_word_selects(const Device *device, char *const *words, guint32 own_uid,
			     gboolean everybody)
{
	g_autoptr(GPtrArray) alone = g_ptr_array_new();

	if (!*words)
		return everybody || device->owner_uid == own_uid;
	g_ptr_array_add(alone, (gpointer)device);
	for (; *words; words++)
		if (device_word_find(alone, *words, own_uid, NULL))
			return TRUE;
	return FALSE;
}
