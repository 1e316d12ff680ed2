/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The name of a device, as ublkd noted it down in its state directory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OWNER_STATE_DIR "/run/ublkd"
#define OWNER_NAME_MAX  64

/*
 * Read device `dev_id`'s name from <state_dir>/devices/<dev_id> into `name`. `cookie` is what the
 * kernel says about the device (dev_info.ublksrv_flags); `trusted` is the only user whose directory
 * and file are believed: 0.
 *
 * Returns 0; -ENOENT when nothing is noted down about the device or it has no name, -ESTALE when
 * the note is about an earlier device of this number, -EPERM when somebody else could have written
 * it, -EINVAL when it is malformed or the name is not one that a device may have, other negative
 * errno.
 */
int owner_name_read(const char *state_dir, uint32_t dev_id, uint64_t cookie, uid_t trusted,
		    char name[OWNER_NAME_MAX + 1]);

/* The project's rule for names: 1 to 64 of [A-Za-z0-9._-], the first one a letter or a digit. */
int owner_name_check(const char *name, size_t len);
