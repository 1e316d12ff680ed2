/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of processors, one for each queue. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cpu-list.h"

static void refuses(const char *text, unsigned int n, int expected)
{
	struct cpu_list *lists = NULL;
	int ret = cpu_lists_parse(text, n, &lists);

	if (ret != expected) {
		fprintf(stderr, "'%s' in %u: %d, not %d\n", text, n, ret, expected);
		abort();
	}
	assert(!lists);
}

int main(void)
{
	struct cpu_list *lists;

	assert(cpu_lists_parse("0-1:2,3,8-9", 2, &lists) == 0);
	assert(CPU_COUNT_S(lists[0].size, lists[0].set) == 2);
	assert(CPU_ISSET_S(0, lists[0].size, lists[0].set));
	assert(CPU_ISSET_S(1, lists[0].size, lists[0].set));
	assert(CPU_COUNT_S(lists[1].size, lists[1].set) == 4);
	assert(CPU_ISSET_S(8, lists[1].size, lists[1].set));
	cpu_lists_free(lists, 2);

	/* A queue without a list is not bound; the highest processor has its place. */
	assert(cpu_lists_parse(":8191:", 3, &lists) == 0);
	assert(!lists[0].set && !lists[2].set);
	assert(CPU_ISSET_S(8191, lists[1].size, lists[1].set));
	cpu_lists_free(lists, 3);

	assert(cpu_lists_parse("", 1, &lists) == 0);
	assert(!lists[0].set);
	cpu_lists_free(lists, 1);

	refuses("0", 2, -ERANGE);
	refuses("0:1:2", 2, -ERANGE);
	refuses("0:", 1, -ERANGE);
	refuses("8192", 1, -EINVAL);
	refuses("99999999999999999999", 1, -EINVAL);
	refuses("1-", 1, -EINVAL);
	refuses("-1", 1, -EINVAL);
	refuses("3-2", 1, -EINVAL);
	refuses("1,", 1, -EINVAL);
	refuses("1 ", 1, -EINVAL);
	refuses("a", 1, -EINVAL);
	cpu_lists_free(NULL, 4);
	return 0;
}
