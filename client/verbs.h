/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of verbs. A verb is one file, verb-NAME.c, that defines one struct verb; a new one is
 * named here and put into the table in verbs.c.
 */
#pragma once

#include <glib.h>

#include "deadline.h"

struct verb {
	const char *name;
	/* What follows the options in the usage line, or NULL. */
	const char *arguments;
	/* One line for the list of verbs and the head of the verb's own help. */
	const char *summary;
	/* The rest of the verb's help: what has to be said, and an example. */
	const char *description;
	/* How many words may follow the options; a max_words of -1 means any number. */
	int min_words, max_words;
	/* Whether it makes a device: a refusal is then explained by who may make one. */
	gboolean creates;
	/*
	 * Returns an exit code (errors.h). When @error is set, the caller prints it and the exit
	 * code comes from the error.
	 */
	int (*run)(const struct verb *verb, int argc, char **argv, GError **error);
};

extern const struct verb verb_add;
extern const struct verb verb_serve;
extern const struct verb verb_list;
extern const struct verb verb_info;
extern const struct verb verb_start;
extern const struct verb verb_stop;
extern const struct verb verb_del;
extern const struct verb verb_resize;
extern const struct verb verb_open;
extern const struct verb verb_wait;
extern const struct verb verb_monitor;
extern const struct verb verb_stat;
extern const struct verb verb_limits;
extern const struct verb verb_metrics;
extern const struct verb verb_cdi;
extern const struct verb verb_seccomp;
extern const struct verb verb_features;
extern const struct verb verb_doctor;

/* The whole program: find the verb, run it, print its error. Returns the exit code. */
int verbs_run(int argc, char **argv);

/*
 * The options that several verbs have; DEADLINE_OPTION (deadline.h) is one of them, for each verb
 * that waits for ublkd.
 */
#define VERBS_JSON(variable)                                                        \
	{                                                                           \
		"json", 0, 0, G_OPTION_ARG_NONE, (variable), "JSON, not text", NULL \
	}
#define VERBS_QUIET(variable)                                                                     \
	{                                                                                         \
		"quiet", 'q', 0, G_OPTION_ARG_NONE, (variable), "Nothing but the devices' paths", \
			NULL                                                                      \
	}
/* --no-ask-password, for the verbs that may need an authorization. */
#define VERBS_NO_ASK_PASSWORD(variable)                                                     \
	{                                                                                   \
		"no-ask-password", 0, G_OPTION_FLAG_REVERSE, G_OPTION_ARG_NONE, (variable), \
			"Fail instead of asking for a password", NULL                       \
	}

/*
 * Parse a verb's options. @data is what callbacks among the entries get. On success argv[0] is the
 * verb and the words follow, as many as the verb takes.
 */
gboolean verbs_parse(const struct verb *verb, const GOptionEntry *entries, gpointer data, int *argc,
		     char ***argv, GError **error);
/* The same with two lists of entries. */
gboolean verbs_parse_two(const struct verb *verb, const GOptionEntry *entries,
			 const GOptionEntry *more, gpointer data, int *argc, char ***argv,
			 GError **error);
