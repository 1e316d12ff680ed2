/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What keeps devices from working here, and the command that mends it.
 */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"
#include "errors.h"
#include "json.h"
#include "output.h"
#include "terminal.h"
#include "verbs.h"

static const enum terminal_style styles[] = {
	[FINDING_GOOD] = TERMINAL_GOOD,
	[FINDING_NOTE] = TERMINAL_PASSING,
	[FINDING_BAD] = TERMINAL_BAD,
};

static void print_findings(const Doctor *doctor)
{
	struct terminal terminal = terminal_get(STDOUT_FILENO);

	for (guint i = 0; i < doctor->findings->len; i++) {
		const Finding *finding = doctor->findings->pdata[i];
		g_autofree char *text = output_escape_text(finding->text);
		g_autofree char *remedy = finding->remedy ? output_escape_text(finding->remedy)
							  : NULL;

		printf("%s%-4s%s  %-9s  %s\n",
		       terminal_begin_style(&terminal, styles[finding->level]),
		       doctor_get_level_name(finding->level),
		       terminal_end_style(&terminal, styles[finding->level]), finding->subject,
		       text);
		if (remedy)
			printf("                 %s %s\n", terminal_get_arrow(&terminal), remedy);
	}
}

/* In a container, podman's and Docker's or any other with a user namespace of its own. */
static gboolean is_contained(void)
{
	return output_is_namespaced() || g_file_test("/run/.containerenv", G_FILE_TEST_EXISTS) ||
	       g_file_test("/.dockerenv", G_FILE_TEST_EXISTS);
}

/* The order is that in which one thing needs the other. */
static Doctor *examine(const char *release)
{
	Doctor *doctor = doctor_new("", release, is_contained());

	if (doctor->contained)
		doctor_add(doctor, FINDING_NOTE, "container", NULL,
			   "this is a container: what its host lacks is to be seen there only");
	doctor_check_driver(doctor);
	doctor_check_uring(doctor);
	doctor_check_udev(doctor);
	/* Who has no time left can ask nobody, and that nobody has answered would mean nothing. */
	if (!deadline_is_over())
		doctor_check_service(doctor);
	doctor_check_leftovers(doctor);
	return doctor;
}

static gboolean is_well(const Doctor *doctor)
{
	for (guint i = 0; i < doctor->findings->len; i++) {
		const Finding *finding = doctor->findings->pdata[i];

		if (finding->level == FINDING_BAD)
			return FALSE;
	}
	return TRUE;
}

static int run(const struct verb *verb, int argc, char **argv, GError **error)
{
	gboolean json = FALSE, cleaning = FALSE;
	const GOptionEntry entries[] = {
		{ "clean", 0, 0, G_OPTION_ARG_NONE, &cleaning,
		  "Remove leftovers, by the commands that are shown; as root", NULL },
		VERBS_JSON(&json),
		DEADLINE_OPTION,
		{ NULL },
	};
	g_autoptr(Doctor) doctor = NULL;
	g_autofree char *text = NULL;
	struct utsname kernel;

	if (!verbs_parse(verb, entries, NULL, &argc, &argv, error))
		return EXIT_CODE_USAGE;
	uname(&kernel);
	doctor = examine(kernel.release);
	if (cleaning) {
		if (!doctor_clean(doctor, error))
			return EXIT_CODE_FAILURE;
		g_clear_pointer(&doctor, doctor_free);
		doctor = examine(kernel.release);
	}
	if (json) {
		text = json_print(doctor_build_json(doctor));
		printf("%s\n", text);
	} else {
		print_findings(doctor);
	}
	if (deadline_is_over()) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_TIMEOUT,
			    "not all has answered within %s s (--timeout)", deadline_get_text());
		return EXIT_CODE_TIMEOUT;
	}
	return is_well(doctor) ? EXIT_CODE_SUCCESS : EXIT_CODE_FAILURE;
}

const struct verb verb_doctor = {
	.name = "doctor",
	.summary = "Find out what is wrong here, and what mends it",
	.description =
		"Looks at the driver, io_uring, udev, the bus, ublkd, polkit, your limits, and "
		"for what\n"
		"is left over. Behind an arrow is the command, for an administrator, that "
		"mends it.\n"
		"The exit status is 0 when all is well.\n"
		"\n"
		"Examples:\n"
		"  ublk-client doctor\n"
		"  sudo ublk-client doctor --clean",
	.run = run,
};
