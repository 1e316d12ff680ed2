/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By what io_uring is forbidden: each cause has its own words, and says what to change. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ublk-uring.h"

static const struct {
	int err;
	struct ublk_uring_facts facts;
	const char *says, *but_not;
} cases[] = {
	{ -ENOSYS,
	  { .disabled = 0, .filtered = true, .exists = true },
	  "seccomp filter forbids it (ENOSYS);",
	  "CONFIG" },
	{ -ENOSYS,
	  { .disabled = -1, .filtered = true },
	  "or this kernel has no io_uring",
	  "sysctl" },
	{ -ENOSYS, { .disabled = -1 }, "CONFIG_IO_URING", "seccomp" },
	{ -EPERM,
	  { .disabled = 0, .filtered = true, .exists = true },
	  "--security-opt seccomp=",
	  "sysctl" },
	/* The sysctl's refusal comes first in the kernel only where the filter let the call
	   through. */
	{ -EPERM, { .disabled = 2, .filtered = true }, "io_uring_disabled is 2", "seccomp" },
	{ -EPERM,
	  { .disabled = 2, .group = 7, .in_group = true },
	  "io_uring_disabled is 2",
	  "seccomp" },
	{ -EPERM, { .disabled = 1, .group = -1 }, "names no group", "seccomp" },
	{ -EPERM, { .disabled = 1, .group = 7 }, "the group 7 alone", "seccomp" },
	{ -EPERM,
	  { .disabled = 1, .group = 7, .in_group = true, .filtered = true },
	  "seccomp filter",
	  "group" },
	{ -EPERM,
	  { .disabled = -1, .filtered = true },
	  "which cannot be read here",
	  "security module" },
	{ -EPERM, { .disabled = 0 }, "security module", "container" },
	{ -ENOMEM, { .disabled = 0 }, "ulimit -l", "seccomp" },
	{ -EMFILE, { .disabled = 0 }, "open files", "seccomp" },
};

int main(void)
{
	struct ublk_uring_facts here;
	char text[UBLK_URING_TEXT_MAX];
	int failures = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ublk_uring_explain(cases[i].err, &cases[i].facts, text, sizeof(text));
		if (!strstr(text, cases[i].says) || strstr(text, cases[i].but_not) ||
		    strlen(text) >= UBLK_URING_TEXT_MAX - 1) {
			fprintf(stderr, "case %zu: \"%s\"\n", i, text);
			failures++;
		}
	}
	/* Whatever this machine allows, it can be looked at. */
	ublk_uring_get_facts(&here);
	printf("here: disabled %d, group %ld, filtered %d\n", here.disabled, here.group,
	       here.filtered);
	return failures ? 1 : 0;
}
