/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choice.h"

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	return choice_run(verb, FALSE, argc, argv, error);
}

const struct verb verb_stop = {
	.name = "stop",
	.arguments = "[DEVICE…]",
	.max_words = -1,
	.summary = "Take a block device away; its server ends by itself",
	.description =
		"Unlike del, it does not wait until the server has left and the number is free.\n"
		"\n"
		"Example:\n"
		"  ublk-client stop work",
	.run = run,
};
