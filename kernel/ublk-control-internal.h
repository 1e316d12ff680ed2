/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the control plane, and the tests of it, know of each other. Nobody else
 * includes this.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "uring-compat.h"

#include "ublk-control.h"

/* The kernel gives personalities of a ring the numbers 1 to 65535. */
#define UBLK_PERSONALITY_MAX UINT16_MAX

struct ublk_control {
	struct io_uring ring;
	int fd;                      /* /dev/ublk-control */
	bool legacy;                 /* the driver knows the bare command numbers only */
	uint64_t features;           /* UBLK_F_*; 0: unknown */
	struct ublk_control_op *ops; /* all that the kernel still owes a completion for */
	unsigned int dispatching;    /* depth of callbacks */

	/* Of ublk-creds.c: which personalities are in somebody's hands. */
	uint8_t personalities[UBLK_PERSONALITY_MAX / 8 + 1];
	unsigned int creds_children; /* started, neither finished nor aborted */
	unsigned int creds_lost;     /* of children that died and may have registered before */

	/* For tests: behave as on a driver without GET_DEV_INFO2. */
	bool test_no_dev_info2;
};

/*
 * For tests: speak as to a driver of Linux 6.0 to 6.3, or as to a later one again. A kernel that
 * still accepts the bare numbers then runs the very path that an old one would.
 */
void ublk_control_test_set_legacy(struct ublk_control *ctl, bool legacy);
