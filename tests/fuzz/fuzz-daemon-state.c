/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state file that anything may have happened to. What is believed is written and read the same.
 */
#include <glib/gstdio.h>
#include <unistd.h>

#include "daemon/options.h"
#include "daemon/state.h"
#include "fuzz-glib.h"

static char *directory;

static void remove_directory(void)
{
	g_rmdir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(State) state = NULL, again = NULL;
	g_autofree char *path = NULL;
	g_autoptr(GArray) ids = NULL;

	fuzz_init();
	if (!directory) {
		directory = g_dir_make_tmp("ublkd-fuzz-XXXXXX", NULL);
		FUZZ_ASSERT(directory);
		state_use_directory(directory);
		atexit(remove_directory);
	}
	path = g_build_filename(directory, "7", NULL);
	FUZZ_ASSERT(g_file_set_contents_full(path, (const char *)data, (gssize)size,
					     G_FILE_SET_CONTENTS_NONE, 0600, NULL));
	state = state_read(7);
	if (state) {
		FUZZ_ASSERT(state->id == 7 && state->cookie && options_valid_name(state->name));
		FUZZ_ASSERT(state_write(state, NULL));
		again = state_read(7);
		FUZZ_ASSERT(again && again->cookie == state->cookie && again->uid == state->uid &&
			    again->gid == state->gid && again->live == state->live &&
			    again->beyond == state->beyond && again->prompted == state->prompted &&
			    again->created_at == state->created_at);
		FUZZ_ASSERT(g_strcmp0(again->name, state->name) == 0 &&
			    g_strcmp0(again->target, state->target) == 0 &&
			    g_strcmp0(again->backing, state->backing) == 0 &&
			    g_strcmp0(again->unit, state->unit) == 0 &&
			    g_strcmp0(again->sender, state->sender) == 0 &&
			    g_strcmp0(again->buffers, state->buffers) == 0);
	}
	ids = state_list();
	FUZZ_ASSERT(ids->len == 1);
	state_remove(7);
	return 0;
}
