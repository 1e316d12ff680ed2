/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is told to the journal about calls: that they were authorized, or refused, or a device
 * opened. */
#pragma once

#include "caller.h"
#include "device.h"

/* A call, as far as it is known: what it is about and whose it is may be NULL. */
typedef struct {
	const Caller *caller;
	const Device *device;
	const char *object;    /* its path on the bus */
	const char *operation; /* in words */
	const char *action;    /* polkit's, or NULL */
} AuditCall;

/* Whether a change of a device's shared memory may have a line; it is counted if not. */
gboolean audit_may_tell_sharing(const Device *device);

/* One line about it each, unless there were too many of this user's, or of all, just now. */
void audit_allowed(const AuditCall *call, const char *by);
void audit_refused(const AuditCall *call, const char *message);
void audit_opened(const Device *device, const Caller *caller);
