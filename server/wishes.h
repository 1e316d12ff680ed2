/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the device's user wishes it to be, and what its target can be: who wins.
 */
#pragma once

#include "error.h"
#include "kernel/ublk-params.h"
#include "options.h"

/*
 * Put what the command line gives (options->given) over what the target `name` has found out about
 * itself. A wish counts more than the target's own opinion, but it cannot make the target promise
 * what it does not keep:
 * - what one discard or one write of zeroes may take can be lowered, not raised: the kernel kills a
 *   server that is at one request for too long;
 * - a volatile cache cannot be denied, since without one no flush would ever come, and neither it
 *   nor FUA can be claimed where the target has no such thing.
 * What follows from a wish and was not wished for itself is adapted (a larger physical block size
 * raises io_min); everything else must fit together. The last thing that a target's open() does.
 * Returns 0, or -EINVAL with a sentence that names the option.
 */
int wishes_apply(const struct options *options, const char *name, struct ublk_limits *limits,
		 struct server_error *error);
