/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why io_uring cannot be used, and who has to change what. Three things forbid it and give two
 * errors: container engines' seccomp profiles (ENOSYS or EPERM), the administrator's
 * kernel.io_uring_disabled (EPERM), a kernel without it (ENOSYS).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Room for any explanation. */
#define UBLK_URING_TEXT_MAX 512

/* What is known about this process and its kernel. */
struct ublk_uring_facts {
	int disabled;  /* sysctl kernel.io_uring_disabled; -1: there is none (before Linux 6.6) */
	long group;    /* sysctl kernel.io_uring_group; -1: no group */
	bool in_group; /* this process is in that group */
	bool filtered; /* a seccomp filter is in force */
	bool exists;   /* this kernel surely has io_uring, whatever the call says */
};

/* Look at /proc. What cannot be read counts as not known, or not so. */
void ublk_uring_get_facts(struct ublk_uring_facts *facts);

/*
 * One sentence without its end for the negative errno of io_uring_setup(), written to `text`:
 * by what it is forbidden, and how to allow it. Returns `text`.
 */
const char *ublk_uring_explain(int err, const struct ublk_uring_facts *facts, char *text,
			       size_t size);

/* Both in one. */
const char *ublk_uring_explain_here(int err, char *text, size_t size);
