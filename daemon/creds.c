/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "creds.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>

#include "error.h"
#include "kernel.h"
#include "kernel/ublk-creds.h"

/* The child makes six system calls. Longer than this means that its user has stopped it. */
#define CHILD_MS 2000

struct Creds {
	guint refs;
	GBytes *key; /* uid, gid, groups */
	int personality;
};

typedef struct {
	CredsDone done;
	gpointer user_data;
} Waiter;

/* A child under way; callers that want the same credentials wait for the same child. */
typedef struct {
	GBytes *key;
	uid_t uid;
	struct ublk_creds_child child;
	guint readable, deadline;
	GArray *waiters;
} Acquisition;

static GHashTable *registered; /* key → Creds, not owned: a Creds leaves it with its last ref */
static GHashTable *acquiring;  /* key → Acquisition, owned */

static GBytes *make_key(uid_t uid, gid_t gid, const gid_t *groups, gsize n_groups)
{
	gsize len = (2 + n_groups) * sizeof(guint32);
	guint32 *key = g_malloc(len);

	key[0] = uid;
	key[1] = gid;
	for (gsize i = 0; i < n_groups; i++)
		key[2 + i] = groups[i];
	return g_bytes_new_take(key, len);
}

Creds *creds_ref(Creds *creds)
{
	creds->refs++;
	return creds;
}

void creds_unref(Creds *creds)
{
	struct ublk_control *ctl = kernel_get(NULL);

	if (--creds->refs)
		return;
	if (g_hash_table_lookup(registered, creds->key) == creds)
		g_hash_table_remove(registered, creds->key);
	if (ctl)
		ublk_creds_drop(ctl, creds->personality);
	g_bytes_unref(creds->key);
	g_free(creds);
}

unsigned int creds_get_personality(const Creds *creds)
{
	return (unsigned int)creds->personality;
}

static void acquisition_free(gpointer data)
{
	Acquisition *acquisition = data;

	g_clear_handle_id(&acquisition->readable, g_source_remove);
	g_clear_handle_id(&acquisition->deadline, g_source_remove);
	g_bytes_unref(acquisition->key);
	g_array_unref(acquisition->waiters);
	g_free(acquisition);
}

/* Tell everybody; `personality` > 0, or negative errno. */
static void acquisition_end(Acquisition *acquisition, int personality)
{
	g_autoptr(GArray) waiters = g_array_ref(acquisition->waiters);
	g_autoptr(GError) error = NULL;
	g_autoptr(Creds) creds = NULL;

	if (personality > 0) {
		creds = g_new0(Creds, 1);
		creds->refs = 1;
		creds->key = g_bytes_ref(acquisition->key);
		creds->personality = personality;
		g_hash_table_insert(registered, creds->key, creds);
	} else {
		g_set_error(&error, UBLK_ERROR, UBLK_ERROR_KERNEL, "cannot act as user %u: %s",
			    acquisition->uid,
			    personality == -ETIMEDOUT || personality == -ECHILD
				    ? "the process that was to do so was stopped or killed"
				    : g_strerror(-personality));
	}
	g_hash_table_remove(acquiring, acquisition->key);
	for (guint i = 0; i < waiters->len; i++) {
		Waiter *waiter = &g_array_index(waiters, Waiter, i);

		waiter->done(creds ? creds_ref(creds) : NULL, error, waiter->user_data);
	}
}

static gboolean on_child_exited(gint fd, GIOCondition condition, gpointer user_data)
{
	Acquisition *acquisition = user_data;

	acquisition->readable = 0;
	acquisition_end(acquisition, ublk_creds_finish(&acquisition->child));
	return G_SOURCE_REMOVE;
}

static gboolean on_dead_child_exited(gint fd, GIOCondition condition, gpointer user_data)
{
	g_autofree struct ublk_creds_child *child = user_data;
	int personality = ublk_creds_finish(child);
	struct ublk_control *ctl = kernel_get(NULL);

	/* it was done just before it was killed; nobody waits for it any more */
	if (personality > 0 && ctl)
		ublk_creds_drop(ctl, personality);
	return G_SOURCE_REMOVE;
}

static gboolean on_child_late(gpointer user_data)
{
	Acquisition *acquisition = user_data;
	struct ublk_creds_child *child = g_memdup2(&acquisition->child, sizeof(*child));

	acquisition->deadline = 0;
	g_clear_handle_id(&acquisition->readable, g_source_remove);
	/* its user may also keep it from dying soon: nobody waits for that */
	ublk_creds_kill(child);
	g_unix_fd_add(child->pidfd, G_IO_IN, on_dead_child_exited, child);
	acquisition_end(acquisition, -ETIMEDOUT);
	return G_SOURCE_REMOVE;
}

/* Answers that are known at once are given from the main loop all the same. */
typedef struct {
	Waiter waiter;
	Creds *creds;
	GError *error;
} Answer;

static gboolean on_answer(gpointer user_data)
{
	Answer *answer = user_data;

	answer->waiter.done(answer->creds, answer->error, answer->waiter.user_data);
	g_clear_error(&answer->error);
	g_free(answer);
	return G_SOURCE_REMOVE;
}

static void answer_later(Waiter waiter, Creds *creds, GError *error)
{
	Answer *answer = g_new0(Answer, 1);

	answer->waiter = waiter;
	answer->creds = creds;
	answer->error = error;
	g_idle_add(on_answer, answer);
}

void creds_acquire(uid_t uid, gid_t gid, const gid_t *groups, gsize n_groups, CredsDone done,
		   gpointer user_data)
{
	Waiter waiter = { done, user_data };
	g_autoptr(GBytes) key = make_key(uid, gid, groups, n_groups);
	Acquisition *acquisition;
	struct ublk_control *ctl;
	GError *error = NULL;
	Creds *creds;
	int res;

	if (!registered) {
		registered = g_hash_table_new(g_bytes_hash, g_bytes_equal);
		acquiring =
			g_hash_table_new_full(g_bytes_hash, g_bytes_equal, NULL, acquisition_free);
	}
	ctl = kernel_get(&error);
	if (!ctl) {
		answer_later(waiter, NULL, error);
		return;
	}
	creds = g_hash_table_lookup(registered, key);
	if (creds) {
		answer_later(waiter, creds_ref(creds), NULL);
		return;
	}
	acquisition = g_hash_table_lookup(acquiring, key);
	if (acquisition) {
		g_array_append_val(acquisition->waiters, waiter);
		return;
	}

	acquisition = g_new0(Acquisition, 1);
	acquisition->key = g_bytes_ref(key);
	acquisition->uid = uid;
	acquisition->waiters = g_array_new(FALSE, FALSE, sizeof(Waiter));
	res = ublk_creds_start(ctl, uid, gid, groups, n_groups, &acquisition->child);
	if (res < 0) {
		acquisition_free(acquisition);
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_KERNEL, "cannot act as user %u: %s", uid,
				    g_strerror(-res));
		answer_later(waiter, NULL, error);
		return;
	}
	g_array_append_val(acquisition->waiters, waiter);
	acquisition->readable =
		g_unix_fd_add(acquisition->child.pidfd, G_IO_IN, on_child_exited, acquisition);
	acquisition->deadline = g_timeout_add(CHILD_MS, on_child_late, acquisition);
	g_hash_table_insert(acquiring, acquisition->key, acquisition);
}
