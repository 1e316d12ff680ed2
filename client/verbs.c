/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

#include "config.h"
#include "errors.h"
#include "output.h"
#include "suggest.h"
#include "ublk-dbus.h"

/* In the order in which a new user meets them. */
static const struct verb *const verbs[] = {
	&verb_add,  &verb_list,    &verb_info,    &verb_resize,  &verb_stop,     &verb_del,
	&verb_open, &verb_wait,    &verb_monitor, &verb_stat,    &verb_serve,    &verb_start,
	&verb_cdi,  &verb_seccomp, &verb_limits,  &verb_metrics, &verb_features, &verb_doctor,
};

static const struct verb *find_verb(const char *name)
{
	for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
		if (strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	return NULL;
}

/* What such verbs are called elsewhere. */
static const struct {
	const char *word, *verb;
} other_names[] = {
	{ "attach", "add" },  { "create", "add" }, { "make", "add" },        { "new", "add" },
	{ "delete", "del" },  { "detach", "del" }, { "remove", "del" },      { "rm", "del" },
	{ "destroy", "del" }, { "ls", "list" },    { "show", "info" },       { "status", "info" },
	{ "grow", "resize" }, { "run", "serve" },  { "truncate", "resize" },
};

static const char *suggest_verb(const char *word)
{
	const char *names[G_N_ELEMENTS(verbs) + 1] = { NULL };

	for (gsize i = 0; i < G_N_ELEMENTS(other_names); i++)
		if (strcmp(other_names[i].word, word) == 0)
			return other_names[i].verb;
	for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
		names[i] = verbs[i]->name;
	return suggest_word(word, names);
}

static void print_no_verb(const char *word)
{
	const char *meant = suggest_verb(word);
	g_autofree char *safe = output_escape_text(word);

	fprintf(stderr, "ublk-client: there is no verb “%s”; ", safe);
	if (meant)
		fprintf(stderr, "did you mean `ublk-client %s`?\n", meant);
	else
		fputs("see `ublk-client --help`\n", stderr);
}

/* Set: verbs_parse_two() prints the verb's options for the shells' completion, and no more. */
static gboolean listing_options;

static void list_options(const GOptionEntry *entries)
{
	for (; entries && entries->long_name; entries++) {
		if (entries->flags & G_OPTION_FLAG_HIDDEN)
			continue;
		printf("--%s\t", entries->long_name);
		if (entries->short_name)
			printf("-%c", entries->short_name);
		printf("\t%s\t%s\n", entries->arg_description ? entries->arg_description : "",
		       entries->description);
	}
}

/*
 * `--complete verbs`, `--complete options VERB`, `--complete targets`: what completions/ asks for,
 * so that the shells know nothing that this program does not tell them. Columns are separated by
 * tabs: a verb, its arguments, its summary; an option, its short form, its argument, what it does;
 * a target, what it is.
 */
static int complete(int argc, char **argv)
{
	const struct verb *verb = argc == 2 ? find_verb(argv[1]) : NULL;
	g_autoptr(GError) error = NULL;

	if (argc == 1 && strcmp(argv[0], "verbs") == 0) {
		for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
			printf("%s\t%s\t%s\n", verbs[i]->name,
			       verbs[i]->arguments ? verbs[i]->arguments : "", verbs[i]->summary);
		return EXIT_CODE_SUCCESS;
	}
	if (argc == 1 && strcmp(argv[0], "targets") == 0) {
#define TARGET(name, needs_file, what) puts(name "\t" what);
		UBLK_TARGETS(TARGET)
#undef TARGET
		return EXIT_CODE_SUCCESS;
	}
	if (!verb || strcmp(argv[0], "options") != 0)
		return EXIT_CODE_USAGE;
	listing_options = TRUE;
	verb->run(verb, 1, argv + 1, &error);
	printf("--help\t-h\t\tShow help options\n");
	return EXIT_CODE_SUCCESS;
}

static void print_help(FILE *stream)
{
	fputs("Usage:\n"
	      "  ublk-client VERB [OPTION…] [DEVICE…]\n"
	      "\n"
	      "Block devices that are served from user space.\n"
	      "\n"
	      "Verbs:\n",
	      stream);
	for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
		fprintf(stream, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\n"
	      "`ublk-client VERB --help` tells a verb's options and gives an example.\n"
	      "\n"
	      "A DEVICE is a number (0), a node (/dev/ublkb0, ublkb0, /dev/ublkc0), a link to a "
	      "node\n"
	      "(/dev/disk/by-ublk/1000-work), the name of a device of yours (work), or the name "
	      "of\n"
	      "somebody else's (bob/work, 1001/work).\n"
	      "\n"
	      "Exit status: 0 success, 1 failure, 2 wrong usage or argument, 3 not found,\n"
	      "4 not authorized, 5 busy or limit reached, 6 timeout.\n",
	      stream);
}

static void add_names(const GOptionEntry *entries, GPtrArray *names)
{
	for (; entries && entries->long_name; entries++)
		if (!(entries->flags & G_OPTION_FLAG_HIDDEN))
			g_ptr_array_add(names, (gpointer)entries->long_name);
}

/* GOption's error says which option there is not; ours also says which was meant. */
static void explain_option(const GOptionEntry *entries, const GOptionEntry *more, GError **error)
{
	const char *typed =
		error && g_error_matches(*error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION)
			? strstr((*error)->message, " -")
			: NULL;
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	g_autofree char *option = NULL, *name = NULL;
	const char *meant;

	if (!typed)
		return;
	option = g_strdup(typed + 1);
	name = g_strndup(option + 2, option[1] == '-' ? strcspn(option + 2, "=") : 0);
	add_names(entries, names);
	add_names(more, names);
	g_ptr_array_add(names, NULL);
	meant = suggest_word(name, (const char *const *)names->pdata);
	g_clear_error(error);
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "there is no option “%s”%s%s%s", option,
		    meant ? "; did you mean --" : "", meant ? meant : "", meant ? "?" : "");
}

gboolean verbs_parse_two(const struct verb *verb, const GOptionEntry *entries,
			 const GOptionEntry *more, gpointer data, int *argc, char ***argv,
			 GError **error)
{
	g_autoptr(GOptionContext) context = g_option_context_new(verb->arguments);
	/* The context owns the group as soon as it is set. */
	GOptionGroup *group = g_option_group_new("", "", "", data, NULL);

	if (listing_options) {
		g_option_group_unref(group);
		list_options(entries);
		list_options(more);
		return FALSE;
	}
	g_option_group_add_entries(group, entries);
	if (more)
		g_option_group_add_entries(group, more);
	g_option_context_set_main_group(context, group);
	g_option_context_set_summary(context, verb->summary);
	g_option_context_set_description(context, verb->description);
	if (!g_option_context_parse(context, argc, argv, error)) {
		explain_option(entries, more, error);
		return FALSE;
	}

	/* "--" stays in argv when it is needed to tell a word from an option. */
	if (*argc > 1 && strcmp((*argv)[1], "--") == 0) {
		memmove(*argv + 1, *argv + 2, (*argc - 1) * sizeof(**argv));
		(*argc)--;
	}
	if (*argc - 1 < verb->min_words) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "something is missing: %s",
			    verb->arguments);
		return FALSE;
	}
	if (verb->max_words >= 0 && *argc - 1 > verb->max_words) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE, "unexpected argument “%s”%s",
			    (*argv)[1 + verb->max_words],
			    verb->creates ? "; a backing file follows -t loop -f" : "");
		return FALSE;
	}
	return TRUE;
}

gboolean verbs_parse(const struct verb *verb, const GOptionEntry *entries, gpointer data, int *argc,
		     char ***argv, GError **error)
{
	return verbs_parse_two(verb, entries, NULL, data, argc, argv, error);
}

int verbs_run(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	const struct verb *verb;
	g_autofree char *program = NULL;
	g_autoptr(GError) error = NULL;
	int status;

	if (!word) {
		print_help(stderr);
		return EXIT_CODE_USAGE;
	}
	if (strcmp(word, "--version") == 0) {
		puts("ublk-client " UBLKD_VERSION);
		return EXIT_CODE_SUCCESS;
	}
	/* "help VERB" is what "VERB --help" is. */
	if (strcmp(word, "help") == 0 && argc > 2 && find_verb(argv[2])) {
		char *help[] = { argv[0], argv[2], (char *)"--help", NULL };

		return verbs_run(3, help);
	}
	if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		print_help(stdout);
		return EXIT_CODE_SUCCESS;
	}
	if (strcmp(word, "--complete") == 0)
		return complete(argc - 2, argv + 2);
	verb = find_verb(word);
	if (!verb) {
		print_no_verb(word);
		return EXIT_CODE_USAGE;
	}

	/* GOption's usage line and the error messages begin with this. */
	program = g_strdup_printf("ublk-client %s", verb->name);
	g_set_prgname(program);
	status = verb->run(verb, argc - 1, argv + 1, &error);
	if (error) {
		errors_print(error, verb->creates);
		status = errors_get_exit_code(error);
	}
	g_clear_error(&error);
	/* A device path that never reached its reader is a failure too. */
	if (status == EXIT_CODE_SUCCESS && !output_flush(&error)) {
		errors_print(error, FALSE);
		status = EXIT_CODE_FAILURE;
	}
	return status;
}
