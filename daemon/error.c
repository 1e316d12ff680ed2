/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

#include <errno.h>

#include "ublk-dbus.h"

G_DEFINE_QUARK(ublk - error - quark, ublk_error)

static const char *const names[] = {
	[UBLK_ERROR_INVALID_ARGUMENT] = UBLK_BUS_ERROR_INVALID_ARGUMENT,
	[UBLK_ERROR_NOT_FOUND] = UBLK_BUS_ERROR_NOT_FOUND,
	[UBLK_ERROR_EXISTS] = UBLK_BUS_ERROR_EXISTS,
	[UBLK_ERROR_BUSY] = UBLK_BUS_ERROR_BUSY,
	[UBLK_ERROR_INVALID_STATE] = UBLK_BUS_ERROR_INVALID_STATE,
	[UBLK_ERROR_LIMIT_EXCEEDED] = UBLK_BUS_ERROR_LIMIT_EXCEEDED,
	[UBLK_ERROR_NOT_SUPPORTED] = UBLK_BUS_ERROR_NOT_SUPPORTED,
	[UBLK_ERROR_TIMED_OUT] = UBLK_BUS_ERROR_TIMED_OUT,
	[UBLK_ERROR_KERNEL] = UBLK_BUS_ERROR_KERNEL,
	[UBLK_ERROR_ACCESS_DENIED] = UBLK_BUS_ERROR_ACCESS_DENIED,
	[UBLK_ERROR_INTERACTIVE] = UBLK_BUS_ERROR_INTERACTIVE,
};

const char *error_get_bus_name(const GError *error)
{
	/* what is not ours comes from a library that met what was not foreseen */
	return error->domain == UBLK_ERROR ? names[error->code] : UBLK_BUS_ERROR_KERNEL;
}

GError *error_from_kernel(int res, const char *doing)
{
	switch (-res) {
	case ETIMEDOUT:
		return g_error_new(UBLK_ERROR, UBLK_ERROR_TIMED_OUT,
				   "the kernel did not %s in time", doing);
	case EEXIST:
		return g_error_new(UBLK_ERROR, UBLK_ERROR_EXISTS,
				   "the kernel refused to %s: the number is taken", doing);
	case ENOENT:
	case ENODEV:
		return g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
				   "the kernel refused to %s: there is no such device", doing);
	case EACCES:
		return g_error_new(UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
				   "the kernel refused to %s: permission denied", doing);
	case EOPNOTSUPP:
		return g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_SUPPORTED,
				   "this kernel's ublk driver cannot %s", doing);
	default:
		return g_error_new(UBLK_ERROR, UBLK_ERROR_KERNEL, "the kernel refused to %s: %s",
				   doing, g_strerror(-res));
	}
}
