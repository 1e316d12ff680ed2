/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kept.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "device-word.h"
#include "errors.h"
#include "ublk-dbus.h"

#define SUFFIX ".conf"

/* Not by XDG_CONFIG_HOME: a shell has another one than systemd, which reads these files. */
char *kept_get_path(const char *name)
{
	g_autofree char *file = g_strconcat(name, SUFFIX, NULL);

	return geteuid() == 0 ? g_build_filename(UBLK_DEVICES_D, file, NULL)
			      : g_build_filename(g_get_home_dir(), ".config", "ublk", file, NULL);
}

/* As ublkd has it: what it takes for a name leads to no other folder. */
static gboolean is_name(const char *name)
{
	gsize length = strlen(name);

	return length <= UBLK_NAME_MAX && g_ascii_isalnum(*name) &&
	       strspn(name, UBLK_NAME_CHARACTERS) == length;
}

gboolean kept_check(const char *name, const MakeOptions *options, GError **error)
{
	g_autofree char *lines = make_options_build_lines(options, error);
	g_autofree char *path = NULL;
	int saved;

	if (!lines)
		return FALSE;
	if (!is_name(name)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--keep: a name has 1 to %d letters, digits, dots, underscores and "
			    "dashes, and begins with a letter or digit; “%s” is none",
			    UBLK_NAME_MAX, name);
		return FALSE;
	}
	/* When the unit is stopped, or by hand, `del` could be told to delete another one. */
	if (device_word_is_number(name)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--keep: “%s” is a device's number, too: choose another name", name);
		return FALSE;
	}
	path = kept_get_path(name);
	saved = access(path, F_OK) == 0 ? 0 : errno;
	if (saved && saved != ENOENT) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "--keep: %s: %s", path,
			    g_strerror(saved));
		return FALSE;
	}
	if (!saved) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_BUSY,
			    "%s is kept already, by %s: `ublk-client del %s` forgets it", name,
			    path, name);
		return FALSE;
	}
	return TRUE;
}

gboolean kept_write(const char *name, const MakeOptions *options, GError **error)
{
	g_autofree char *path = kept_get_path(name);
	g_autofree char *folder = g_path_get_dirname(path);
	g_autofree char *lines = make_options_build_lines(options, error);
	g_autofree char *text = NULL;

	if (!lines)
		return FALSE;
	text = g_strconcat("# Options of `ublk-client add`; `ublk-client del ", name,
			   "` removes this file.\n", lines, NULL);
	if (g_mkdir_with_parents(folder, 0755) < 0) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE, "cannot make %s: %s", folder,
			    g_strerror(errno));
		return FALSE;
	}
	/* A path may be nobody else's business. */
	return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
					error);
}

static GPtrArray *build_arguments(const struct verb *verb, char **lines)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(argv, g_strdup(verb->name));
	for (char **line = lines; *line; line++)
		if (**line && **line != '#')
			g_ptr_array_add(argv, g_strconcat("--", *line, NULL));
	g_ptr_array_add(argv, NULL);
	return argv;
}

gboolean kept_read(const struct verb *verb, const char *name, MakeOptions *options, GError **error)
{
	g_autofree char *path = is_name(name) ? kept_get_path(name) : NULL;
	g_autofree char *text = NULL;
	g_autofree char **argv = NULL;
	g_autoptr(GError) failure = NULL;
	g_autoptr(GPtrArray) arguments = NULL;
	g_auto(GStrv) lines = NULL;
	int argc;

	if (path && !g_file_get_contents(path, &text, NULL, &failure) &&
	    !g_error_matches(failure, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
		g_propagate_error(error, g_steal_pointer(&failure));
		return FALSE;
	}
	if (!text) {
		g_set_error(
			error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND,
			"no device “%s” is kept%s%s; `ublk-client add --name %s --keep …` keeps "
			"one",
			name, path ? ": there is no " : "", path ? path : "", name);
		return FALSE;
	}
	lines = g_strsplit(text, "\n", -1);
	arguments = build_arguments(verb, lines);
	/* The parser moves the pointers about: the words stay ours. */
	argv = g_memdup2(arguments->pdata, arguments->len * sizeof(*argv));
	argc = (int)arguments->len - 1;
	if (!verbs_parse(verb, make_options_get_entries(), options, &argc, &argv, error)) {
		g_prefix_error(error, "%s: ", path);
		return FALSE;
	}
	make_options_set_name(options, name);
	return TRUE;
}

gboolean kept_exists(const char *name)
{
	g_autofree char *path = is_name(name) ? kept_get_path(name) : NULL;

	return path && access(path, F_OK) == 0;
}

gboolean kept_forget(const char *name, GError **error)
{
	g_autofree char *path = is_name(name) ? kept_get_path(name) : NULL;

	if (path && g_unlink(path) == 0) {
		g_autofree char *folder = g_path_get_dirname(path);

		/* If that was the last one. */
		g_rmdir(folder);
		return TRUE;
	}
	if (path && errno != ENOENT)
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			    "%s is still kept: cannot remove %s: %s", name, path,
			    g_strerror(errno));
	return FALSE;
}
