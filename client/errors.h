/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What went wrong, as an exit code for programs and as one sentence for people.
 */
#pragma once

#include <gio/gio.h>

/* The exit codes are an interface: scripts depend on them. */
enum exit_code {
	EXIT_CODE_SUCCESS = 0,
	EXIT_CODE_FAILURE = 1,
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_NOT_FOUND = 3,
	EXIT_CODE_NOT_AUTHORIZED = 4,
	EXIT_CODE_BUSY = 5,
	EXIT_CODE_TIMEOUT = 6,
};

/* The client's own errors; the code of the GError is the exit code. */
#define CLIENT_ERROR (client_error_quark())
GQuark client_error_quark(void);

/* "WHAT: No such file or directory" of an errno that was saved. Always FALSE. */
gboolean errors_set_errno(GError **error, int saved, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The exit code of any error that the client meets: its own, GOption's, the bus's, ublkd's. */
int errors_get_exit_code(const GError *error);

/*
 * What to do about an error, or NULL when the message says it already or nothing is known. Looks at
 * this machine (groups, nodes). Free with g_free().
 */
char *errors_get_hint(const GError *error, gboolean creating);

/* Why somebody may not make devices, from what is known of the group ublk. */
enum errors_membership {
	ERRORS_NO_GROUP,
	ERRORS_NOT_A_MEMBER,
	ERRORS_MEMBER_BUT_OLD_SESSION,
	ERRORS_MEMBER,
};
enum errors_membership errors_get_membership(const char *user);
char *errors_describe_membership(enum errors_membership membership, const char *user);

/* "ublk-client VERB: message; hint" on the standard error. @creating: the verb makes a device. */
void errors_print(const GError *error, gboolean creating);
