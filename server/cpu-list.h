/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of processors, as people and the kernel's sysfs write them: "0-3,8". */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/* Highest processor number that is understood, plus one: what Debian's kernels can have. */
#define CPU_LIST_MAX_CPUS 8192

struct cpu_list {
	cpu_set_t *set; /* NULL: any processor */
	size_t size;    /* of the set in bytes */
};

/*
 * Parse the lists of `n` queues, separated by ':' ("0-1:2,3"); an empty list means any processor.
 * Returns 0 and n lists in *out, to be freed with cpu_lists_free(); -EINVAL if the text is not such
 * a list, -ERANGE if it has not exactly n parts.
 */
int cpu_lists_parse(const char *text, unsigned int n, struct cpu_list **out);
void cpu_lists_free(struct cpu_list *lists, unsigned int n);
