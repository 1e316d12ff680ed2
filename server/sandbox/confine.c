/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the server locks itself in.
 *
 * Whoever uses the device chooses what comes down the queues, and what is in the backing file may
 * come from anywhere. Should one of them ever take this process over, it shall find the device's
 * data, which it had, and not the user's other files, programs and processes.
 *
 * 1. confine_process(), first of all: no program that it could ever execute gains a privilege by it
 *    (no_new_privs, which seccomp and Landlock need too); nobody with the same uid can attach to it
 *    or read its memory (not dumpable): the buffers hold the data of whoever uses the device, and
 *    that may be a container, or root, that shall not be laid open to every other process of the
 *    server's user. A process with CAP_SYS_PTRACE still can. And no core dump.
 * 2. confine_paths(), when backing, character device, report and notification socket are open:
 *    - a mount namespace of its own with nothing in it (mount-namespace.c), where user namespaces
 *      are allowed. No path leads anywhere. This is also what keeps a server from hanging on its
 *      own device: see there;
 *    - Landlock (landlock.c), where the kernel has it: no file can be opened, made or removed, no
 *      TCP port be used, no abstract socket or process outside be reached.
 *    The one exception of both: attributes below /sys/devices/virtual can be read, since the size
 *    that the device has now is there (device-size.c). That directory is open, and ".." of an open
 *    directory leads out of any namespace: so it is one of a copy with nothing above it.
 * 3. confine_ring(), on each queue's ring before it works: only what targets do (read, write,
 *    fsync, fallocate, poll, timeouts, the driver's commands). What io_uring does is no system
 *    call, so that stage 4 would not see a file that it opens, or a socket.
 * 4. confine_calls(), when the threads are there and before READY: a seccomp filter (calls.c) that
 *    lets through what serving takes. No program can be executed, no process, thread, ring, socket
 *    or namespace made, no file opened (unless stage 2 works, and then only for reading), nothing
 *    traced or signalled, no memory made executable.
 *
 * Each stage that the kernel has must succeed, or the server does not start. What a kernel or a
 * container's own seccomp profile lacks is logged; so is a mount namespace that is forbidden
 * (kernel.unprivileged_userns_clone=0, an LSM, Docker's profile), because ordinary users may do
 * without: then stage 4 forbids to open files as soon as Landlock is missing too.
 *
 * Builds for tests (sanitizers, coverage) write files and look at themselves while they run and at
 * the end: they leave stage 2 out, and stage 4 forbids only what no such runtime does.
 */
#include "confine.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "instrumented.h"
#include "landlock.h"
#include "mount-namespace.h"

int confine_process(struct server_error *error)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return server_error_set(error, errno, "cannot set no_new_privs: %s",
					strerror(errno));
	/* /proc/self/fd stays usable: the kernel lets a thread group look at itself. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return server_error_set(error, errno, "cannot forbid ptrace: %s", strerror(errno));
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return server_error_set(error, errno, "cannot forbid core dumps: %s",
					strerror(errno));
	return 0;
}

int confine_paths(int readable, const char *path, bool *confined, struct server_error *error)
{
	bool detached = false, restricted = false;
	const char *step = "";
	int ret;

	*confined = false;
	if (INSTRUMENTED)
		return 0;
	ret = mount_namespace_leave(readable, path, &detached, &step);
	if (ret < 0)
		server_log("no mount namespace of its own (%s: %s): a file system on this device "
			   "that is mounted here can hang for ever if the server is the last "
			   "process that sees it",
			   step, strerror(-ret));
	/* In a namespace with nothing in it, ".." of a directory that is open still leads out. */
	*confined = ret == 0 && detached;

	ret = landlock_restrict(readable, &restricted, &step);
	if (ret < 0)
		return server_error_set(error, ret, "cannot confine the server by Landlock: %s: %s",
					step, strerror(-ret));
	if (restricted)
		*confined = true;
	else
		server_log("no Landlock: %s", step);
	return 0;
}

int confine_ring(struct io_uring *ring)
{
	static const uint8_t operations[] = {
		IORING_OP_URING_CMD, IORING_OP_READ,     IORING_OP_WRITE,   IORING_OP_FSYNC,
		IORING_OP_FALLOCATE, IORING_OP_POLL_ADD, IORING_OP_TIMEOUT,
	};
	struct io_uring_restriction list[sizeof(operations) + 1] = { 0 };
	unsigned int n;
	int ret;

	for (n = 0; n < sizeof(operations); n++) {
		list[n].opcode = IORING_RESTRICTION_SQE_OP;
		list[n].sqe_op = operations[n];
	}
	list[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	list[n++].sqe_flags = IOSQE_FIXED_FILE;
	/* liburing 2.3 declares functions for both, but does not have them. */
	ret = io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_RESTRICTIONS, list, n);
	return ret < 0 ? ret
		       : io_uring_register((unsigned int)ring->ring_fd,
					   IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
