/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `ublk-client doctor` looks at. Each check adds what it found; a check that has nothing to
 * look at, because half of the system is missing or this is a container, says so and harms nobody.
 */
#pragma once

#include "bus.h"

enum finding_level {
	FINDING_GOOD,
	FINDING_NOTE, /* no fault, but good to know */
	FINDING_BAD,
};

typedef struct finding {
	enum finding_level level;
	const char *subject; /* a word */
	char *text;          /* what was found; as it came, not safe for a terminal */
	char *remedy; /* what mends it: a command, or some words; NULL: nothing is to be done */
	/* The remedy is a command that --clean may run: a leftover goes by it. */
	gboolean cleans;
} Finding;

typedef struct doctor {
	const char *root; /* "" or, for tests, a folder that plays the machine */
	const char *release;
	gboolean contained; /* in a container: the host's files are not to be seen */
	Bus *bus;           /* NULL: there is none */
	guint32 uid;        /* as the bus knows it */
	/* Ids of the devices that ublkd has, as keys; NULL: it could not be asked. */
	GHashTable *known;
	GPtrArray *findings;
} Doctor;

Doctor *doctor_new(const char *root, const char *release, gboolean contained);
void doctor_free(Doctor *doctor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Doctor, doctor_free)

/* A path on the machine that is looked at. Free with g_free(). */
char *doctor_get_path(const Doctor *doctor, const char *path);

/* Add a finding; the text is a printf() format. @remedy: copied, or NULL. */
Finding *doctor_add(Doctor *doctor, enum finding_level level, const char *subject,
		    const char *remedy, const char *format, ...) G_GNUC_PRINTF(5, 6);

/* "good", "note" or "bad". */
const char *doctor_get_level_name(enum finding_level level);

/* All findings as the JSON has them; floating. Paths may have any bytes: what is no UTF-8 is not
 * kept. */
GVariant *doctor_build_json(const Doctor *doctor);

/* The kernel and udev, by their files. */
void doctor_check_driver(Doctor *doctor);
void doctor_check_uring(Doctor *doctor);
void doctor_check_udev(Doctor *doctor);

/* The bus, ublkd and polkit. Sets bus, uid and known, which the leftovers need. */
void doctor_check_service(Doctor *doctor);

/* What there is though nobody needs it any more. */
void doctor_check_leftovers(Doctor *doctor);

/* Remove it, as root, by the commands that were found for it. One that fails says so itself. */
gboolean doctor_clean(const Doctor *doctor, GError **error);
