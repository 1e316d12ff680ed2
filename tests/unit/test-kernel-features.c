/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of features: one row for each flag that the driver has, in order, with names that can
 * be told apart. (What the rows say is checked against the driver by tests/driver.)
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ublk-abi.h"
#include "ublk-features.h"

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(EXIT_FAILURE);                                                     \
		}                                                                               \
	} while (0)

/* The flags of Linux 7.2 are the twenty lowest bits. */
#define ALL ((1ULL << 20) - 1)

static void test_table(void)
{
	const struct ublk_feature *table;
	uint64_t seen = 0;
	size_t n;

	table = ublk_features(&n);
	for (size_t i = 0; i < n; i++) {
		const struct ublk_feature *f = &table[i];
		int major, minor, length = 0;

		CHECK(f->flag && !(f->flag & (f->flag - 1)));
		CHECK(f->flag > seen);
		seen |= f->flag;
		CHECK(f->name[0] && f->why[0]);
		for (const char *c = f->name; *c; c++)
			CHECK(islower((unsigned char)*c) || *c == '-');
		CHECK(sscanf(f->since, "%d.%d%n", &major, &minor, &length) == 2);
		CHECK(f->since[length] == '\0' && major >= 6);
		for (size_t j = 0; j < i; j++)
			CHECK(strcmp(table[j].name, f->name) != 0);
	}
	CHECK(seen == ALL);
}

static void test_names(void)
{
	const struct ublk_feature *f = ublk_feature_by_name("unprivileged-dev");

	CHECK(f && f->flag == UBLK_F_UNPRIVILEGED_DEV);
	f = ublk_feature_by_name("shmem-zc");
	CHECK(f && f->flag == UBLK_F_SHMEM_ZC);
	CHECK(!ublk_feature_by_name(""));
	CHECK(!ublk_feature_by_name("Unprivileged-Dev"));
	CHECK(!ublk_feature_by_name("unprivileged-de"));
	CHECK(!ublk_feature_by_name("unprivileged-dev "));
}

static void test_unprivileged(void)
{
	/* As seen on Linux 7.2: see the table in the design notes of the project. */
	CHECK(ublk_features_allowed_unprivileged() ==
	      (UBLK_F_NEED_GET_DATA | UBLK_F_UNPRIVILEGED_DEV | UBLK_F_UPDATE_SIZE |
	       UBLK_F_BATCH_IO | UBLK_F_NO_AUTO_PART_SCAN | UBLK_F_SHMEM_ZC));
	/* Nothing that would let a server choose what its reader sees of the kernel's memory. */
	CHECK(!(ublk_features_allowed_unprivileged() &
		(UBLK_F_USER_COPY | UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_AUTO_BUF_REG |
		 UBLK_F_INTEGRITY)));
}

int main(void)
{
	test_table();
	test_names();
	test_unprivileged();
	return EXIT_SUCCESS;
}
