/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of targets. See target.h. */
#include "target.h"

#include <stddef.h>
#include <string.h>

const struct target_ops *const targets[] = {
	&target_null,
	&target_loop,
	NULL,
};

const struct target_ops *target_find(const char *name)
{
	for (const struct target_ops *const *ops = targets; *ops; ops++) {
		if (strcmp((*ops)->name, name) == 0)
			return *ops;
	}
	return NULL;
}
