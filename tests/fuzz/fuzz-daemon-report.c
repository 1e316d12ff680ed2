/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The report of a server that starts, as ublkd reads it. It is answered exactly once, whatever
 * came. */
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/report.h"
#include "fuzz-glib.h"

static guint answers;

static void on_done(const struct ublk_limits *limits, pid_t pid, int channel, const GError *error,
		    gpointer unused)
{
	answers++;
	FUZZ_ASSERT(!limits == !!error);
	FUZZ_ASSERT(!limits || pid == getpid());
	FUZZ_ASSERT(channel < 0 || limits);
	if (limits) {
		struct ublk_params params;
		const char *field = NULL, *why = NULL;

		if (ublk_params_build(limits, 512 * 1024, &params, &field, &why) < 0)
			FUZZ_ASSERT(field && why);
	}
	if (channel >= 0)
		close(channel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int ours, theirs;

	fuzz_init();
	FUZZ_ASSERT(report_open(&ours, &theirs, NULL));
	if (size > 0)
		FUZZ_ASSERT(send(theirs, data, size, MSG_NOSIGNAL) == (ssize_t)size);
	answers = 0;
	report_wait(ours, getuid(), 60000, NULL, on_done, NULL);
	/* nothing said: then its end is the answer */
	if (size == 0)
		close(theirs);
	while (answers == 0)
		g_main_context_iteration(NULL, TRUE);
	FUZZ_ASSERT(!g_main_context_pending(NULL) && answers == 1);
	if (size > 0)
		close(theirs);
	return 0;
}
