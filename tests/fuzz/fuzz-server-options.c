/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of ublk-server: words that end with NUL. What is accepted is in its range. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "kernel/ublk-abi.h"
#include "server/options.h"
#include "server/wishes.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "ublk-server";
	char *argv[MAX_WORDS + 2] = { name };
	struct server_error error = { 0 };
	struct options options;
	char *text = calloc(1, size + 1);
	int argc = 1;

	FUZZ_ASSERT(text);
	if (size > 0)
		memcpy(text, data, size);
	for (size_t at = 0; at < size && argc <= MAX_WORDS; at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	if (options_parse(argc, argv, &options, &error) < 0) {
		FUZZ_ASSERT(error.err == EINVAL && error.text[0]);
	} else if (options.action == OPTIONS_RUN) {
		struct ublk_limits limits = { .size = 1 << 30, .logical_block_size = 512 };

		FUZZ_ASSERT(options.target && (options.char_device || options.char_fd >= 0));
		FUZZ_ASSERT(options.queues >= 1 && options.queues <= UBLK_MAX_NR_QUEUES);
		FUZZ_ASSERT(options.depth >= 1 && options.depth <= UBLK_MAX_QUEUE_DEPTH);
		FUZZ_ASSERT(options.max_io_size >= (uint32_t)sysconf(_SC_PAGESIZE));
		if (wishes_apply(&options, options.target, &limits, &error) == 0) {
			struct ublk_params params;
			const char *field, *why;

			FUZZ_ASSERT(ublk_params_build(&limits, options.max_io_size, &params, &field,
						      &why) == 0);
		}
	}
	options_free(&options);
	free(text);
	return 0;
}
