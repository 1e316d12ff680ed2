/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The options that make a device, the same for `add` (ublkd runs the server) and `serve` (we do).
 * One table: an option is one line there.
 */
#pragma once

#include <gio/gunixfdlist.h>

#include "new-file.h"
#include "verbs.h"

typedef struct make_options {
	/* From the option's key (ublk-dbus.h) to its value, a GVariant. */
	GHashTable *values;
	char *target;
	/* The backing file's absolute path: any bytes, as file names are. NULL: none. */
	char *file;
	/* --create: that file is to be made, of new_size bytes. */
	gboolean create, preallocate;
	guint64 new_size;
	NewFile *new_file; /* since it is made; NULL: none */
} MakeOptions;

MakeOptions *make_options_new(void);
void make_options_free(MakeOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MakeOptions, make_options_free)

/*
 * GOption's entries, ended by an empty one, static; pass the MakeOptions to verbs_parse() as its
 * data.
 */
const GOptionEntry *make_options_get_entries(void);

/*
 * Those of them that say what a device is to be, whoever serves it: all that `start` takes. The
 * same way.
 */
const GOptionEntry *make_options_get_parameter_entries(void);

/* Their values, for Device.Start. FALSE: there is no size, which is needed. */
gboolean make_options_add_parameters(const MakeOptions *options, GVariantBuilder *builder);

/* Whether none was given; --quiet is none of a device's. */
gboolean make_options_is_empty(const MakeOptions *options);

/*
 * What can be told without ublkd: a target is given, loop has a file and the file can be opened as
 * it will be needed, contradictions. Better to hear that before a password is asked for.
 */
gboolean make_options_check(const MakeOptions *options, GError **error);

/*
 * Make the file that --create wants, if it does, and say at last what became of the device: it
 * stays only where there is one, or nobody knows (@failure, as bus_call() set it, may be a
 * timeout). FALSE with @error: there is a device, but of another file; it is to be deleted.
 */
gboolean make_options_create_file(MakeOptions *options, GError **error);
gboolean make_options_settle_file(MakeOptions *options, const GError *failure, GError **error);

/*
 * AddDevice's dictionary; floating. A file whose name D-Bus cannot carry, since it is not UTF-8, is
 * opened and put into @fds.
 */
GVariant *make_options_build_add(const MakeOptions *options, GUnixFDList *fds, GError **error);

/* CreateDevice's dictionary: what the driver has to know before there is a server. Floating. */
GVariant *make_options_build_create(const MakeOptions *options);

/* The rest: the arguments that tell ublk-server the same. Added to @argv, which owns them. */
void make_options_append_arguments(const MakeOptions *options, GPtrArray *argv);

/*
 * All of it as lines "option=value", or "option", from which `add` would make the same device; its
 * name excepted. Free with g_free().
 */
char *make_options_build_lines(const MakeOptions *options, GError **error);
/* The name that is wished for, or NULL. Owned by the options. */
const char *make_options_get_name(const MakeOptions *options);
void make_options_set_name(MakeOptions *options, const char *name);

/*
 * The absolute path of a file name given in the current directory. Links and ".." are left as they
 * are: the server resolves them, with the user's rights. Free with g_free().
 */
char *make_options_get_absolute(const char *file);
