/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of processors. See cpu-list.h. */
#include "cpu-list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number below CPU_LIST_MAX_CPUS; *text is moved behind it. */
static int parse_cpu(const char **text, unsigned int *cpu)
{
	unsigned int value = 0;
	const char *p = *text;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (unsigned int)(*p - '0');
		if (value >= CPU_LIST_MAX_CPUS)
			return -EINVAL;
	}
	*text = p;
	*cpu = value;
	return 0;
}

/* One list, up to ':' or the end; *text is moved to that. */
static int parse_list(const char **text, struct cpu_list *list)
{
	unsigned int first, last;
	const char *p = *text;

	if (*p == ':' || *p == '\0')
		return 0;
	list->size = CPU_ALLOC_SIZE(CPU_LIST_MAX_CPUS);
	list->set = CPU_ALLOC(CPU_LIST_MAX_CPUS);
	if (!list->set)
		return -ENOMEM;
	CPU_ZERO_S(list->size, list->set);
	for (;;) {
		if (parse_cpu(&p, &first) < 0)
			return -EINVAL;
		last = first;
		if (*p == '-') {
			p++;
			if (parse_cpu(&p, &last) < 0 || last < first)
				return -EINVAL;
		}
		for (unsigned int cpu = first; cpu <= last; cpu++)
			CPU_SET_S(cpu, list->size, list->set);
		if (*p != ',')
			break;
		p++;
	}
	if (*p != ':' && *p != '\0')
		return -EINVAL;
	*text = p;
	return 0;
}

int cpu_lists_parse(const char *text, unsigned int n, struct cpu_list **out)
{
	struct cpu_list *lists = calloc(n, sizeof(*lists));
	int ret = 0;

	if (!lists)
		return -ENOMEM;
	for (unsigned int i = 0; i < n && ret == 0; i++) {
		ret = parse_list(&text, &lists[i]);
		if (ret == 0 && *text != (i + 1 < n ? ':' : '\0'))
			ret = -ERANGE;
		if (ret == 0 && *text == ':')
			text++;
	}
	if (ret < 0) {
		cpu_lists_free(lists, n);
		return ret;
	}
	*out = lists;
	return 0;
}

void cpu_lists_free(struct cpu_list *lists, unsigned int n)
{
	for (unsigned int i = 0; lists && i < n; i++)
		CPU_FREE(lists[i].set);
	free(lists);
}
