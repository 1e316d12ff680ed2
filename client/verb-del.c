/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choice.h"

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	return choice_run(verb, TRUE, argc, argv, error);
}

const struct verb verb_del = {
	.name = "del",
	.arguments = "[DEVICE…]",
	.max_words = -1,
	.summary = "Stop and delete a device",
	.description =
		"The nodes are gone when it returns. A device that is mounted, swap, or under "
		"another\n"
		"one is refused unless --force is given: what was not written back is lost.\n"
		"What `add --keep` kept is forgotten, unless --no-forget is given.\n"
		"\n"
		"Examples:\n"
		"  ublk-client del /dev/ublkb0\n"
		"  ublk-client del -n 0\n"
		"  ublk-client del --all",
	.run = run,
};
