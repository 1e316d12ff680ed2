/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One method call, and the one gate that all of them pass: who calls, are the arguments right, may
 * the caller do it (polkit), is the device still the one that was meant (the kernel, asked with the
 * caller's own credentials). Only then the method acts. What has no RequestMethod cannot be
 * reached.
 */
#pragma once

#include "caller.h"
#include "device.h"
#include "options.h"
#include "settings.h"

typedef struct Request Request;

typedef struct {
	const char *operation; /* for polkit's details and the journal */
	OptionsMethod options;
	/*
	 * Look at the arguments and at what they mean now, without any effect; FALSE with `error`.
	 * Called just before the act. For a method of the manager also before authorization, to set
	 * request->action (NULL: needs none). A method of a device needs manage-own of its owner
	 * and manage-others of everybody else, and may do without a check (NULL).
	 */
	gboolean (*check)(Request *request, GError **error);
	/* Do it; ends, once, in request_return() or request_fail(). */
	void (*act)(Request *request);
	gboolean counts; /* it looks at limits: request_get_limits() */
	gboolean gives;  /* its answer has a descriptor */
} RequestMethod;

struct Request {
	const RequestMethod *method;
	GDBusMethodInvocation *invocation;
	Device *device; /* NULL for methods of the manager */
	Caller *caller;
	Options *options;
	char *text;   /* the method's string argument: target or name */
	guint64 size; /* Resize's argument */
	const char *action;
	char *limit;       /* which limit create-beyond-limits goes beyond, or NULL */
	gboolean prompted; /* somebody typed a password for it */
	/* of the gate's own */
	gboolean owes; /* it has a place for its answer's descriptor: unread.h */
	GVariant *dict;
	GUnixFDList *fds;
	GArray *groups; /* of request_get_limits(), if there are limits for groups */
};

/*
 * Begin; takes the invocation and, elsewhere to be closed, all descriptors of its message. `device`
 * and `text` may be NULL. Always returns TRUE, for the skeleton.
 */
gboolean request_begin(const RequestMethod *method, GDBusMethodInvocation *invocation,
		       Device *device, GVariant *dict, const char *text, guint64 size);

/* The answer; frees the request. `value` is floating or NULL; fds may be NULL. */
void request_return(Request *request, GVariant *value, GUnixFDList *fds);
/* The same for a failure; takes `error`. */
void request_fail(Request *request, GError *error);

/* Whether the call allows that somebody is asked for a password. */
gboolean request_is_interactive(const Request *request);

/*
 * The user whose limits the call is about: a device's owner, the one that is asked about, or the
 * caller; and these limits as they are now. Of a method that counts.
 */
uid_t request_get_user(const Request *request);
UserLimits request_get_limits(const Request *request);

/* The dictionary a{ss} that rules decide on; size in bytes, 0 for "unknown". Floating. */
GVariant *request_describe(const Request *request, const Device *device, guint64 size,
			   gboolean read_only);
