/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An error on its way to a person. See error.h. */
#include "error.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int server_error_set(struct server_error *error, int err, const char *format, ...)
{
	va_list args;

	/* Whoever calls this has failed: it must not look like success. */
	error->err = err ? abs(err) : EIO;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -error->err;
}

void server_log(const char *format, ...)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	char line[2200];
	va_list args;

	/*
	 * Where nobody reads (a terminal that was stopped, a pipe that is full) the line is lost: a
	 * queue that waited would be killed with its requests.
	 */
	if (poll(&out, 1, 0) <= 0)
		return;
	/* One write, so that lines of several threads do not mix. */
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "ublk-server: %s\n", line);
}
