/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

/* Several, so that one stuck file does not keep the others; bounded, so that a flood of stuck ones
 * costs descriptors of the flooder's own calls and no threads without end. */
#define CLOSERS 4

static void close_one(gpointer data, gpointer unused)
{
	close(GPOINTER_TO_INT(data) - 1);
}

void descriptor_close_later(int fd)
{
	static GThreadPool *pool;

	if (fd < 0)
		return;
	if (!pool)
		pool = g_thread_pool_new(close_one, NULL, CLOSERS, FALSE, NULL);
	/* + 1, since a pool takes no NULL and 0 is a descriptor */
	g_thread_pool_push(pool, GINT_TO_POINTER(fd + 1), NULL);
}

void descriptor_close_list_later(GUnixFDList *fds)
{
	g_autofree int *all = NULL;
	int n = 0;

	if (!fds)
		return;
	all = g_unix_fd_list_steal_fds(fds, &n);
	for (int i = 0; i < n; i++)
		descriptor_close_later(all[i]);
}

int descriptor_get(GUnixFDList *fds, gint32 handle, const char *option, GError **error)
{
	int n = fds ? g_unix_fd_list_get_length(fds) : 0;
	int fd;

	if (handle < 0 || handle >= n) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
			    "option \"%s\" refers to descriptor %d, but the message carries %d",
			    option, handle, n);
		return -1;
	}
	/* duplicates with CLOEXEC */
	fd = g_unix_fd_list_get(fds, handle, NULL);
	if (fd < 0)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "ublkd has no descriptor left for option \"%s\"", option);
	return fd;
}

pid_t descriptor_get_pid(int pidfd, const char *option, GError **error)
{
	char path[64], line[128];
	FILE *info;
	int pid = -2;

	g_snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (info)
		fclose(info);
	if (pid > 0)
		return pid;
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT,
		    pid == -2 ? "option \"%s\" is not a pidfd"
			      : "option \"%s\" is a pidfd of a process that has ended or cannot be "
				"seen from here",
		    option);
	return -1;
}
