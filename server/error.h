/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An error on its way to a person: the errno that programs decide on, and one sentence that says
 * what was wrong and what to do about it.
 */
#pragma once

struct server_error {
	int err; /* a positive errno; 0: nothing happened */
	char text[2048];
};

/* Fill `error` and return -err (err may be given with either sign). */
__attribute__((format(printf, 3, 4))) int server_error_set(struct server_error *error, int err,
							   const char *format, ...);

/* One line on stderr, if it takes one now, prefixed with the program's name. */
__attribute__((format(printf, 1, 2))) void server_log(const char *format, ...);
