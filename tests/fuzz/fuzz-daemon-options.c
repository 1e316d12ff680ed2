/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The options of ublkd's methods: a byte (which method), then a{sv} as it crosses the bus. There
 * are two descriptors with it.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/error.h"
#include "daemon/options.h"
#include "fuzz-glib.h"

static GUnixFDList *descriptors(void)
{
	static GUnixFDList *fds;

	if (!fds) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		fds = g_unix_fd_list_new();
		g_unix_fd_list_append(fds, null, NULL);
		g_unix_fd_list_append(fds, null, NULL);
		close(null);
	}
	return fds;
}

static void check(OptionsMethod method, const Options *options)
{
	FUZZ_ASSERT(!options->name || options_valid_name(options->name));
	FUZZ_ASSERT(!options->file ||
		    (options->file[0] == '/' && strlen(options->file) < PATH_MAX));
	FUZZ_ASSERT(options->queues >= 1 && options->queues <= UBLK_MAX_NR_QUEUES);
	FUZZ_ASSERT(options->depth >= 1 && options->depth <= UBLK_MAX_QUEUE_DEPTH);
	FUZZ_ASSERT(options->max_io_size >= 4096 && options->max_io_size % 4096 == 0);
	FUZZ_ASSERT(options->index <= G_MAXUINT16);
	/* what a method does not take is never set by it */
	FUZZ_ASSERT(method == OPTIONS_ADD || (!options->file && options->file_fd < 0));
	FUZZ_ASSERT(method == OPTIONS_START || (options->report != OPTION_TRUE && options->server_fd < 0));
	FUZZ_ASSERT(method == OPTIONS_REGISTER_BUFFER || options->memory_fd < 0);
	FUZZ_ASSERT(method == OPTIONS_LOOKUP || !options->has_owner);
	FUZZ_ASSERT(method == OPTIONS_ADD || method == OPTIONS_START || !options->given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GVariant) raw = NULL;
	g_autoptr(GVariant) dict = NULL;
	g_autoptr(GBytes) bytes = NULL;
	g_autoptr(Options) options = NULL;
	g_autoptr(GError) error = NULL;
	OptionsMethod method;

	fuzz_init();
	if (size == 0)
		return 0;
	method = data[0] % (OPTIONS_UNREGISTER_BUFFER + 1);
	bytes = g_bytes_new(data + 1, size - 1);
	raw = g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE_VARDICT, bytes, FALSE));
	/* what the bus delivers is in normal form */
	dict = g_variant_get_normal_form(raw);
	options = options_parse(method, dict, descriptors(), 1000, &error);
	FUZZ_ASSERT(!options == !!error);
	if (options)
		check(method, options);
	else
		FUZZ_ASSERT(g_error_matches(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT));
	return 0;
}
