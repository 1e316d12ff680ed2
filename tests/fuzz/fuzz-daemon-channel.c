/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a server that runs says to ublkd about shared memory: a byte (how many questions), then its
 * answers, which end with NUL. Each question is answered exactly once.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/channel.h"
#include "daemon/report.h"
#include "fuzz-glib.h"

static guint answers;

static void on_done(guint64 served, const GError *error, gpointer unused)
{
	answers++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int null = -1;
	g_autofree char *text = g_malloc0(size + 1);
	Channel *channel;
	int ours, theirs;
	size_t at = 1;

	fuzz_init();
	if (size == 0)
		return 0;
	memcpy(text, data, size);
	if (null < 0)
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	FUZZ_ASSERT(report_open(&ours, &theirs, NULL));
	channel = channel_new(ours, getuid(), 0);
	for (guint question = 0; question <= data[0] % 4U; question++) {
		char received[512];

		answers = 0;
		if (question % 2)
			channel_give(channel, 1, 4096, FALSE, null, 60000, on_done, NULL);
		else
			channel_take(channel, 1, 60000, on_done, NULL);
		/* read, so that the next one may come; the descriptor is the kernel's to drop */
		recv(theirs, received, sizeof(received), MSG_DONTWAIT);
		if (at < size) {
			size_t len = strlen(text + at);

			if (len > 0)
				send(theirs, text + at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
			else
				shutdown(theirs, SHUT_WR);
			at += len + 1;
		} else {
			shutdown(theirs, SHUT_RDWR);
		}
		while (answers == 0)
			g_main_context_iteration(NULL, TRUE);
		FUZZ_ASSERT(answers == 1);
	}
	close(theirs);
	channel_free(channel);
	return 0;
}
