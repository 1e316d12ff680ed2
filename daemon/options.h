/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Option dictionaries, checked: every key known to the method, every value of its type and in its
 * range. What is not is refused by name, never ignored.
 */
#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "kernel/ublk-params.h"
#include "ublk-dbus.h"

/* Which options a method takes. */
typedef enum {
	OPTIONS_NONE,    /* those of a device's methods that take none of their own */
	OPTIONS_ADD,     /* AddDevice */
	OPTIONS_CREATE,  /* CreateDevice */
	OPTIONS_START,   /* Start */
	OPTIONS_LOOKUP,  /* GetDeviceByName, GetLimits */
	OPTIONS_MANAGER, /* those of the manager's methods that take none at all */
	OPTIONS_RESIZE,  /* Resize */
	OPTIONS_REGISTER_BUFFER,
	OPTIONS_UNREGISTER_BUFFER,
	OPTIONS_OPEN, /* OpenBlockDevice */
} OptionsMethod;

#define OPTIONS_DEFAULT_DEPTH       128
#define OPTIONS_DEFAULT_MAX_IO_SIZE (512 * 1024)

typedef enum { OPTION_UNSET = -1, OPTION_FALSE, OPTION_TRUE } OptionBool;

typedef struct {
	char *name; /* NULL: the daemon chooses */
	guint32 id; /* UBLK_DEV_ID_ANY: any */
	guint32 queues, depth, max_io_size;
	OptionBool direct, need_get_data;
	char *file;    /* absolute path, or NULL */
	int file_fd;   /* -1: none */
	int server_fd; /* -1: none */
	int memory_fd; /* -1: none */
	OptionBool shared_memory, keep;
	OptionBool report;         /* the server tells what the device is */
	OptionBool backed;         /* the caller vouches for the backing file's size */
	guint32 index;             /* of a buffer */
	uid_t sender;              /* who gave it: whose descriptors these are */
	guint64 created_at;        /* of the device that is meant; 0: whichever has the number */
	OptionBool open_read_only; /* OpenBlockDevice: for reading alone */
	gboolean has_owner;
	guint32 owner;
	struct ublk_limits limits; /* what the device is to be; limits.size 0: not given */
	guint32 given;             /* which members of `limits`: a set of ublk_params_bit() */
} Options;

/*
 * Parse `dict` (a{sv}) with the descriptors of its message, from user `sender`. Returns new options
 * (options_free), or NULL with InvalidArgument.
 */
Options *options_parse(OptionsMethod method, GVariant *dict, GUnixFDList *fds, uid_t sender,
		       GError **error);

/* Closes what descriptors are still in it, elsewhere (see descriptor.h). NULL is allowed. */
void options_free(Options *options);

/* Whether `name` is one for a device: UBLK_NAME_MAX, [A-Za-z0-9._-], first a letter or digit. */
gboolean options_valid_name(const char *name);

/*
 * Parse the `key=value` lines of a server's report into limits; the keys are those of Start's
 * options. FALSE with InvalidArgument.
 */
gboolean options_parse_report(char **lines, struct ublk_limits *limits, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Options, options_free)
