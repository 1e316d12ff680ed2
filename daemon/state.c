/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "options.h"

static const char *directory = STATE_DIR;

void state_use_directory(const char *path)
{
	directory = path;
}

static char *state_path(guint32 id)
{
	return g_strdup_printf("%s/%u", directory, id);
}

/* A line; nothing that is written can start another one. */
static void append(GString *text, const char *key, const char *value)
{
	g_autofree char *escaped = value ? g_strescape(value, NULL) : NULL;

	if (value)
		g_string_append_printf(text, "%s=%s\n", key, escaped);
}

gboolean state_write(const State *state, GError **error)
{
	g_autofree char *path = state_path(state->id);
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) local = NULL;

	g_string_append_printf(text, "COOKIE=%016" G_GINT64_MODIFIER "x\n", state->cookie);
	g_string_append_printf(text, "OWNER_UID=%u\nOWNER_GID=%u\n", state->uid, state->gid);
	append(text, "NAME", state->name);
	append(text, "TARGET", state->target);
	append(text, "BACKING", state->backing);
	append(text, "UNIT", state->unit);
	append(text, "SENDER", state->sender);
	append(text, "BUFFERS", state->buffers);
	g_string_append_printf(text, "LIVE=%d\nBEYOND=%d\nPROMPTED=%d\n", state->live,
			       state->beyond, state->prompted);
	g_string_append_printf(text, "CREATED_AT=%" G_GINT64_FORMAT "\n", state->created_at);

	/* 0600: a backing path is for its owner and administrators to see */
	if (g_mkdir_with_parents(directory, 0755) == 0 &&
	    g_file_set_contents_full(path, text->str, (gssize)text->len,
				     G_FILE_SET_CONTENTS_CONSISTENT, 0600, &local))
		return TRUE;
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED, "cannot write %s: %s", path,
		    local ? local->message : g_strerror(errno));
	return FALSE;
}

void state_free(State *state)
{
	if (!state)
		return;
	g_free(state->name);
	g_free(state->target);
	g_free(state->backing);
	g_free(state->unit);
	g_free(state->sender);
	g_free(state->buffers);
	g_free(state);
}

static void take(State *state, const char *key, const char *value)
{
	static const struct {
		const char *key;
		gsize offset;
	} strings[] = {
		{ "NAME", G_STRUCT_OFFSET(State, name) },
		{ "TARGET", G_STRUCT_OFFSET(State, target) },
		{ "BACKING", G_STRUCT_OFFSET(State, backing) },
		{ "UNIT", G_STRUCT_OFFSET(State, unit) },
		{ "SENDER", G_STRUCT_OFFSET(State, sender) },
		{ "BUFFERS", G_STRUCT_OFFSET(State, buffers) },
	};
	static const struct {
		const char *key;
		gsize offset;
	} flags[] = {
		{ "LIVE", G_STRUCT_OFFSET(State, live) },
		{ "BEYOND", G_STRUCT_OFFSET(State, beyond) },
		{ "PROMPTED", G_STRUCT_OFFSET(State, prompted) },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(strings); i++) {
		char **at = G_STRUCT_MEMBER_P(state, strings[i].offset);

		if (g_str_equal(key, strings[i].key)) {
			g_free(*at);
			*at = g_strcompress(value);
			return;
		}
	}
	for (gsize i = 0; i < G_N_ELEMENTS(flags); i++)
		if (g_str_equal(key, flags[i].key))
			*(gboolean *)G_STRUCT_MEMBER_P(state, flags[i].offset) =
				g_str_equal(value, "1");
	if (g_str_equal(key, "COOKIE"))
		state->cookie = g_ascii_strtoull(value, NULL, 16);
	else if (g_str_equal(key, "OWNER_UID"))
		state->uid = (uid_t)g_ascii_strtoull(value, NULL, 10);
	else if (g_str_equal(key, "OWNER_GID"))
		state->gid = (gid_t)g_ascii_strtoull(value, NULL, 10);
	else if (g_str_equal(key, "CREATED_AT"))
		state->created_at = g_ascii_strtoll(value, NULL, 10);
}

State *state_read(guint32 id)
{
	g_autofree char *path = state_path(id);
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	g_autoptr(State) state = NULL;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return NULL;
	state = g_new0(State, 1);
	state->id = id;
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++) {
		char *value = strchr(*line, '=');

		if (value) {
			*value++ = '\0';
			take(state, *line, value);
		}
	}
	if (state->cookie && state->name && options_valid_name(state->name))
		return g_steal_pointer(&state);
	g_warning("%s is damaged; nothing is known of the device any more", path);
	return NULL;
}

void state_remove(guint32 id)
{
	g_autofree char *path = state_path(id);

	if (g_unlink(path) < 0 && errno != ENOENT)
		g_warning("cannot remove %s: %s", path, g_strerror(errno));
}

GArray *state_list(void)
{
	GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		guint64 id;
		guint32 number;

		/* also finds what a crash in the middle of a write left: "3.XXXXXX" is no number */
		if (!g_ascii_string_to_unsigned(name, 10, 0, G_MAXUINT32 - 1, &id, NULL)) {
			g_autofree char *path = g_build_filename(directory, name, NULL);

			g_unlink(path);
			continue;
		}
		number = (guint32)id;
		g_array_append_val(ids, number);
	}
	return ids;
}
