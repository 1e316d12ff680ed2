/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is told to the journal about calls that were refused. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Whose call it was, when that is not known. */
#define REFUSALS_OF_NOBODY ((uid_t)-1)

/* One line about it, unless there were too many of this user's just now. */
void refusals_tell(uid_t uid, const char *operation, const char *object, const char *message);
