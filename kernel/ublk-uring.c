/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See ublk-uring.h. */
#include "ublk-uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BY_SECCOMP                                                                                 \
	"a seccomp filter forbids it (%s); start the container with --security-opt seccomp=FILE, " \
	"where FILE is what `ublk-client seccomp` prints"

/* A number that stands behind `key` in a file of /proc; -1 when there is none. */
static long read_number(const char *path, const char *key)
{
	char text[4096];
	const char *at;
	ssize_t len;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return -1;
	text[len] = '\0';
	at = strstr(text, key);
	return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

/* As the kernel's in_group_p(): the effective group and the supplementary ones. */
static bool in_group(long group)
{
	gid_t groups[256];
	int n = getgroups(256, groups);

	for (int i = 0; i < n; i++) {
		if (groups[i] == (gid_t)group)
			return true;
	}
	return getegid() == (gid_t)group;
}

void ublk_uring_get_facts(struct ublk_uring_facts *facts)
{
	*facts = (struct ublk_uring_facts){
		.disabled = (int)read_number("/proc/sys/kernel/io_uring_disabled", ""),
		.group = read_number("/proc/sys/kernel/io_uring_group", ""),
		/* SECCOMP_MODE_FILTER */
		.filtered = read_number("/proc/self/status", "\nSeccomp:") == 2,
	};
	facts->in_group = facts->group >= 0 && in_group(facts->group);
	facts->exists = facts->disabled >= 0;
}

static void explain_forbidden(const struct ublk_uring_facts *facts, char *text, size_t size)
{
	if (facts->disabled >= 2) {
		snprintf(text, size,
			 "the administrator has forbidden it to everybody (sysctl "
			 "kernel.io_uring_disabled is 2); with kernel.io_uring_disabled=0 "
			 "everybody may, with 1 those in the group kernel.io_uring_group");
	} else if (facts->disabled == 1 && facts->group < 0) {
		snprintf(text, size,
			 "the administrator has forbidden it to all but CAP_SYS_ADMIN (sysctl "
			 "kernel.io_uring_disabled is 1 and kernel.io_uring_group names no group); "
			 "with kernel.io_uring_group=GID those in the group GID may, with "
			 "kernel.io_uring_disabled=0 everybody");
	} else if (facts->disabled == 1 && !facts->in_group) {
		snprintf(text, size,
			 "the administrator allows it to the group %ld alone, which this process "
			 "is not in (sysctl kernel.io_uring_disabled is 1, kernel.io_uring_group "
			 "%ld)",
			 facts->group, facts->group);
	} else if (facts->disabled < 0 && facts->filtered) {
		snprintf(text, size,
			 "it is forbidden (EPERM), by a seccomp filter or by sysctl "
			 "kernel.io_uring_disabled, which cannot be read here");
	} else if (facts->filtered) {
		snprintf(text, size, BY_SECCOMP, "EPERM");
	} else {
		snprintf(text, size,
			 "it is forbidden (EPERM), neither by sysctl kernel.io_uring_disabled nor "
			 "by "
			 "seccomp: maybe by a security module");
	}
}

const char *ublk_uring_explain(int err, const struct ublk_uring_facts *facts, char *text,
			       size_t size)
{
	switch (-err) {
	case ENOSYS:
		if (facts->filtered && facts->exists)
			snprintf(text, size, BY_SECCOMP, "ENOSYS");
		else if (facts->filtered)
			snprintf(text, size, BY_SECCOMP, "ENOSYS; or this kernel has no io_uring");
		else
			snprintf(text, size, "this kernel has no io_uring (CONFIG_IO_URING)");
		break;
	case EPERM:
		explain_forbidden(facts, text, size);
		break;
	case ENOMEM:
		snprintf(text, size,
			 "not enough memory, or the limit on locked memory (ulimit -l) is too low");
		break;
	default:
		snprintf(text, size, "%s", strerror(-err));
	}
	return text;
}

const char *ublk_uring_explain_here(int err, char *text, size_t size)
{
	struct ublk_uring_facts facts;

	ublk_uring_get_facts(&facts);
	return ublk_uring_explain(err, &facts, text, size);
}
