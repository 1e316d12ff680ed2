/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "accounts.h"

#include <errno.h>
#include <gio/gio.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "error.h"

/* An entry's strings; getpwuid_r() says when it needs more. */
#define FIRST_ENTRY 1024
#define MAX_ENTRY   (1 << 24) /* a group may have many members */

/* The kernel's own limit of a process's groups. */
#define MAX_GROUPS 65536

static gboolean find_number(const char *name, guint32 *id)
{
	guint64 number;

	/* the last one means "none" to the kernel */
	if (!g_ascii_string_to_unsigned(name, 10, 0, G_MAXUINT32 - 1, &number, NULL))
		return FALSE;
	*id = (guint32)number;
	return TRUE;
}

/* How "nobody has this" is said differs between databases. */
static gboolean is_absent(int err)
{
	return !err || err == ENOENT || err == ESRCH;
}

int accounts_find_user(const char *name, uid_t *uid)
{
	struct passwd entry, *found = NULL;
	int err = ERANGE;

	if (find_number(name, uid))
		return 0;
	for (gsize size = FIRST_ENTRY; err == ERANGE && size <= MAX_ENTRY; size *= 4) {
		g_autofree char *strings = g_malloc(size);

		err = getpwnam_r(name, &entry, strings, size, &found);
	}
	if (!found)
		return is_absent(err) ? ENOENT : err;
	*uid = entry.pw_uid;
	return 0;
}

int accounts_find_group(const char *name, gid_t *gid)
{
	struct group entry, *found = NULL;
	int err = ERANGE;

	if (find_number(name, gid))
		return 0;
	for (gsize size = FIRST_ENTRY; err == ERANGE && size <= MAX_ENTRY; size *= 4) {
		g_autofree char *strings = g_malloc(size);

		err = getgrnam_r(name, &entry, strings, size, &found);
	}
	if (!found)
		return is_absent(err) ? ENOENT : err;
	*gid = entry.gr_gid;
	return 0;
}

static GArray *list_groups(const char *name, gid_t primary)
{
	g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
	int n = 64, room;

	do {
		room = n;
		g_array_set_size(groups, (guint)room);
		if (getgrouplist(name, primary, (gid_t *)(gpointer)groups->data, &n) >= 0) {
			g_array_set_size(groups, (guint)n);
			return g_steal_pointer(&groups);
		}
	} while (n > room && n <= MAX_GROUPS);
	return NULL;
}

static GArray *find_groups(uid_t uid, GError **error)
{
	struct passwd entry, *found = NULL;
	int err = ERANGE;

	for (gsize size = FIRST_ENTRY; err == ERANGE && size <= MAX_ENTRY; size *= 4) {
		g_autofree char *strings = g_malloc(size);
		GArray *groups;

		err = getpwuid_r(uid, &entry, strings, size, &found);
		if (!found)
			continue;
		groups = list_groups(entry.pw_name, entry.pw_gid);
		if (groups)
			return groups;
		err = E2BIG;
	}
	if (is_absent(err))
		return g_array_new(FALSE, FALSE, sizeof(gid_t));
	g_set_error(error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
		    "cannot find out which groups user %u is in, which ublkd.conf has limits for: "
		    "%s",
		    uid, g_strerror(err));
	return NULL;
}

typedef struct {
	uid_t uid;
	AccountsDone done;
	gpointer user_data;
} Question;

static void run(GTask *task, gpointer source, gpointer user_data, GCancellable *cancellable)
{
	const Question *question = user_data;
	GError *error = NULL;
	GArray *groups = find_groups(question->uid, &error);

	if (groups)
		g_task_return_pointer(task, groups, (GDestroyNotify)g_array_unref);
	else
		g_task_return_error(task, error);
}

static void on_found(GObject *source, GAsyncResult *result, gpointer user_data)
{
	const Question *question = user_data;
	g_autoptr(GError) error = NULL;
	GArray *groups = g_task_propagate_pointer(G_TASK(result), &error);

	question->done(groups, error, question->user_data);
}

void accounts_ask_groups(uid_t uid, AccountsDone done, gpointer user_data)
{
	Question *question = g_new(Question, 1);
	g_autoptr(GTask) task = g_task_new(NULL, NULL, on_found, question);

	question->uid = uid;
	question->done = done;
	question->user_data = user_data;
	g_task_set_task_data(task, question, g_free);
	g_task_run_in_thread(task, run);
}
