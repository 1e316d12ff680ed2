/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel does not remember of a device: a file in /run/ublkd/devices for each, so that a
 * restarted service knows its devices again and ublk-owner knows their names.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#define STATE_DIR "/run/ublkd/devices"

typedef struct {
	guint32 id;
	guint64 cookie; /* also in the kernel's dev_info.ublksrv_flags: the file is about this
			 * device, not about an earlier one of the same number */
	uid_t uid;      /* the owner, to ask the kernel as; the kernel's answer counts */
	gid_t gid;
	char *name;
	char *target;      /* NULL: its owner runs the server */
	char *backing;     /* as the caller gave it, or NULL */
	char *unit;        /* the server's systemd unit, or NULL */
	char *sender;      /* who made it, until it is live; a unique name on the bus */
	char *buffers;     /* its shared memory, as buffers.c describes it, or NULL */
	gboolean live;     /* it was started */
	gboolean beyond;   /* made with create-beyond-limits */
	gboolean prompted; /* somebody typed a password for it */
	gint64 created_at; /* microseconds since 1970 */
} State;

/* For tests: another directory than STATE_DIR; `path` must stay valid. */
void state_use_directory(const char *path);

/* Write it, whole or not at all. FALSE with `error` (LimitExceeded when the disk is full). */
gboolean state_write(const State *state, GError **error);

/* NULL if there is none or it is damaged (that is logged). Free with state_free(). */
State *state_read(guint32 id);
void state_free(State *state);

void state_remove(guint32 id);

/* The numbers of all files; free with g_array_unref(). */
GArray *state_list(void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(State, state_free)
