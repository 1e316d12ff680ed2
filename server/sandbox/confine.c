/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the server locks itself in.
 *
 * 1. confine_process(), first of all: no program that it could ever execute gains a privilege by it
 *    (no_new_privs, which seccomp and Landlock need too), and nobody with the same uid can attach
 * to it or read its memory (not dumpable): the buffers hold the data of whoever uses the device,
 * and that may be a container, or root, that shall not be laid open to every other process of the
 *    server's user. A process with CAP_SYS_PTRACE still can.
 * 2. Later issues: when everything is open, before READY, system calls and paths are filtered.
 */
#include "confine.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

int confine_process(struct server_error *error)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return server_error_set(error, errno, "cannot set no_new_privs: %s",
					strerror(errno));
	/* /proc/self/fd stays usable: the kernel lets a thread group look at itself. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return server_error_set(error, errno, "cannot forbid ptrace: %s", strerror(errno));
	return 0;
}
