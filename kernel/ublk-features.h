/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one table of the driver's features: everything that prints, parses or checks a feature flag
 * asks here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the driver treats a flag in ADD_DEV of an unprivileged device. */
enum ublk_feature_unprivileged {
	UBLK_FEATURE_ALLOWED, /* takes effect */
	UBLK_FEATURE_IMPLIED, /* set by the driver on every device, asked for or not */
	UBLK_FEATURE_REFUSED, /* ADD_DEV fails with -EINVAL */
	UBLK_FEATURE_CLEARED, /* silently dropped */
};

struct ublk_feature {
	uint64_t flag;     /* UBLK_F_*, one bit */
	const char *name;  /* lower case with hyphens: "need-get-data" */
	const char *since; /* the kernel that brought it: "6.0" */
	enum ublk_feature_unprivileged unprivileged;
	const char *why; /* one phrase: what it is, and why not for unprivileged devices */
};

/* All features in the order of their bits; *n is how many. The table is constant and static. */
const struct ublk_feature *ublk_features(size_t *n);

/* By name, or NULL. */
const struct ublk_feature *ublk_feature_by_name(const char *name);

/* The flags that may be asked for when an unprivileged device is added. */
uint64_t ublk_features_allowed_unprivileged(void);
