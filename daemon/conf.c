/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conf.h"

#include <string.h>

void conf_complain(GPtrArray *problems, const ConfLine *line, const char *format, ...)
{
	g_autofree char *what = NULL;
	va_list args;

	va_start(args, format);
	what = g_strdup_vprintf(format, args);
	va_end(args);
	g_ptr_array_add(problems, g_strdup_printf("%s:%u: %s", line->path, line->number, what));
}

/* One line, which is changed. `group` is the present one, and the next line's. */
static void read_line(ConfLine *line, char *text, char **group, ConfTake take, gpointer user_data,
		      GPtrArray *problems)
{
	gsize len = strlen(g_strstrip(text));
	char *equals = strchr(text, '=');

	if (!len || text[0] == '#')
		return;
	if (text[0] == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		g_free(*group);
		*group = g_strdup(g_strstrip(text + 1));
		line->key = line->value = NULL;
	} else if (text[0] != '[' && equals) {
		*equals = '\0';
		line->key = g_strchomp(text);
		line->value = g_strchug(equals + 1);
	} else {
		conf_complain(problems, line,
			      "\"%.100s\" is neither [GROUP] nor KEY=VALUE nor a # and a comment",
			      text);
		return;
	}
	line->group = *group;
	take(line, user_data);
}

void conf_read(const char *path, ConfTake take, gpointer user_data, GPtrArray *problems)
{
	g_autofree char *text = NULL;
	g_autofree char *group = NULL;
	g_autoptr(GError) error = NULL;
	ConfLine line = { .path = path };
	char *at, *end;
	gsize len;

	if (!g_file_get_contents(path, &text, &len, &error)) {
		if (!g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			g_ptr_array_add(problems, g_strdup_printf("%s: %s", path, error->message));
		return;
	}
	for (at = text; at < text + len; at = end + 1) {
		end = memchr(at, '\n', len - (gsize)(at - text));
		if (!end)
			end = text + len; /* where GLib has put a 0 */
		*end = '\0';
		line.number++;
		/* what stands behind it would be overlooked */
		if (strlen(at) != (gsize)(end - at))
			conf_complain(problems, &line, "there is a zero byte in this line");
		else
			read_line(&line, at, &group, take, user_data, problems);
	}
}

static int by_name(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void conf_read_directory(const char *path, ConfTake take, gpointer user_data, GPtrArray *problems)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDir) directory = g_dir_open(path, 0, &error);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	const char *name;

	if (!directory) {
		if (!g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			g_ptr_array_add(problems, g_strdup(error->message));
		return;
	}
	while ((name = g_dir_read_name(directory)))
		if (name[0] != '.' && g_str_has_suffix(name, ".conf"))
			g_ptr_array_add(names, g_build_filename(path, name, NULL));
	g_ptr_array_sort(names, by_name);
	for (guint i = 0; i < names->len; i++)
		conf_read(g_ptr_array_index(names, i), take, user_data, problems);
}
