/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Landlock, of which each kernel knows more: what it is asked to handle must be what it knows. The
 * structure and the bits are written here, since Debian 12's headers are of 2022.
 *
 * What is open already is not judged again, so the backing, the character device and the sockets
 * need no rule.
 */
#include "landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A longer structure than the kernel's is fine as long as the rest is zero. */
struct ruleset {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
};

/* What each version added: files, network (TCP), reach of abstract sockets and signals. */
static const struct ruleset added[] = {
	{ .files = 0x1fff },           /* 1, Linux 5.13 */
	{ .files = 1 << 13 },          /* 2, 5.19: to another directory */
	{ .files = 1 << 14 },          /* 3, 6.2: truncate */
	{ .net = 1 << 0 | 1 << 1 },    /* 4, 6.7: bind and connect */
	{ .files = 1 << 15 },          /* 5, 6.10: ioctl of devices */
	{ .scoped = 1 << 0 | 1 << 1 }, /* 6, 6.12 */
};

static int failed(const char **step, const char *what)
{
	*step = what;
	return -errno;
}

static int allow_reading(int ruleset, int directory, const char **step)
{
	const struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
		.parent_fd = directory,
	};

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return failed(step, "adding a rule");
	return 0;
}

int landlock_restrict(int readable, bool *restricted, const char **step)
{
	struct ruleset handled = { 0 };
	long version, fd;
	int ret = 0;

	*restricted = false;
	version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 0) {
		/* The kernel never says EPERM to this question. */
		*step = errno == EPERM ? "a container's seccomp profile forbids it"
				       : "this kernel has none, or it is not switched on";
		return 0;
	}
	for (long i = 0; i < version && i < (long)(sizeof(added) / sizeof(*added)); i++) {
		handled.files |= added[i].files;
		handled.net |= added[i].net;
		handled.scoped |= added[i].scoped;
	}
	fd = syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	if (fd < 0)
		return failed(step, "making a ruleset");
	if (readable >= 0)
		ret = allow_reading((int)fd, readable, step);
	if (ret == 0 && syscall(SYS_landlock_restrict_self, (int)fd, 0) < 0)
		ret = failed(step, "restricting the process");
	close((int)fd);
	*restricted = ret == 0;
	return ret;
}
