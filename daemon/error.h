/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What callers are told when something cannot be done. */
#pragma once

#include <gio/gio.h>

/* Each has its name on the bus: an org.ublk1.Error.*, or the bus's own. */
typedef enum {
	UBLK_ERROR_INVALID_ARGUMENT,
	UBLK_ERROR_NOT_FOUND,
	UBLK_ERROR_EXISTS,
	UBLK_ERROR_BUSY,
	UBLK_ERROR_INVALID_STATE,
	UBLK_ERROR_LIMIT_EXCEEDED,
	UBLK_ERROR_NOT_SUPPORTED,
	UBLK_ERROR_TIMED_OUT,
	UBLK_ERROR_KERNEL,
	UBLK_ERROR_ACCESS_DENIED,
	UBLK_ERROR_INTERACTIVE,
} UblkError;

#define UBLK_ERROR (ublk_error_quark())
GQuark ublk_error_quark(void);

/* What a caller is told as the name of the error; static. */
const char *error_get_bus_name(const GError *error);

/*
 * The error for a control command that the kernel refused with `res` (negative errno): -ETIMEDOUT
 * becomes TimedOut, -EEXIST Exists, the rest Kernel. `doing` says what was tried ("add device 3").
 */
GError *error_from_kernel(int res, const char *doing);
