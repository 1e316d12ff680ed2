/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "errors.h"
#include "seccomp-profile.h"
#include "verbs.h"

/* Where podman looks, an administrator's own one first. */
static const char *const defaults[] = { "/etc/containers/seccomp.json",
					"/usr/share/containers/seccomp.json" };

static char *read_profile(const char *path, GError **error)
{
	g_autoptr(GError) cause = NULL;
	char *text = NULL;

	for (gsize i = 0; !path && i < G_N_ELEMENTS(defaults); i++)
		if (g_file_test(defaults[i], G_FILE_TEST_EXISTS))
			path = defaults[i];
	if (!path) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND,
			    "podman's default profile is not installed here (%s); name a profile",
			    defaults[1]);
		return NULL;
	}
	if (g_file_get_contents(path, &text, NULL, &cause))
		return text;
	g_set_error_literal(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND, cause->message);
	return NULL;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	const GOptionEntry entries[] = { { NULL } };
	g_autofree char *text = NULL, *made = NULL;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	text = read_profile(argc > 1 ? argv[1] : NULL, error);
	if (!text)
		return EXIT_CODE_NOT_FOUND;
	made = seccomp_profile_allow_uring(text, error);
	if (!made) {
		g_prefix_error(error, "cannot make a profile from %s: ",
			       argc > 1 ? argv[1] : "podman's default");
		return EXIT_CODE_FAILURE;
	}
	printf("%s\n", made);
	return EXIT_CODE_SUCCESS;
}

const struct verb verb_seccomp = {
	.name = "seccomp",
	.arguments = "[PROFILE]",
	.max_words = 1,
	.summary = "Print a seccomp profile for containers that serve",
	.description =
		"It is PROFILE, or podman's default one as it is installed, and allows io_uring "
		"too.\n"
		"\n"
		"Example:\n"
		"  ublk-client seccomp > ublk-seccomp.json\n"
		"  podman run --security-opt seccomp=ublk-seccomp.json … IMAGE ublk-client serve "
		"…",
	.run = run,
};
