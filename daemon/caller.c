/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose a connection to the bus is does not change as long as it lasts, and no other one gets its
 * name: it is asked once, and kept until the connection ends.
 *
 * The bus tells the uid (from the socket's peer credentials), the pid, the groups, and from
 * dbus 1.16 on a pidfd. The rest is read from /proc, which two capabilities suffice for, as long as
 * the process lives: the pidfd is asked again at the end, so all of it was one process's. Where the
 * bus gives no pidfd (dbus 1.14, Debian 12), the pid may have been given to another process between
 * the caller's connecting and its first call. The check that this process's uid is the caller's
 * bounds what that can do: a user can be taken for another of its own processes. For uid 0 that is
 * more than for others: set_root() says why it is borne.
 */
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "descriptor.h"
#include "error.h"
#include "inbox.h"
#include "turns.h"
#include "unread.h"

/* The kernel's own limit is 65536; nobody's right to a device hangs on that many. */
#define MAX_GROUPS 64

#define MAX_PROC 65536

typedef struct {
	CallerDone done;
	gpointer user_data;
} Identification;

/* Who is at the end of a connection to the bus. */
typedef struct {
	gboolean is_known; /* else the bus has been asked */
	GSList *waiting;   /* of Identification */
	uid_t uid;
	pid_t pid;
	int pidfd; /* or -1 */
	gid_t *groups;
	gsize n_groups;
} Peer;

static GHashTable *peers; /* name → Peer */
static GDBusConnection *connection;

void caller_free(Caller *caller)
{
	if (!caller)
		return;
	if (caller->pidfd >= 0)
		close(caller->pidfd);
	g_free(caller->groups);
	g_free(caller->sender);
	g_free(caller);
}

/*
 * What a process's file in /proc begins with. Bounded: mountinfo is as long as its owner makes it,
 * and the kernel writes it out while we wait. What is wanted stands at the beginning: "/" is
 * mounted before what is mounted below it.
 */
static char *read_proc(pid_t pid, const char *file)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, file);
	g_autofree char *text = g_malloc(MAX_PROC + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	gsize len = 0;
	ssize_t n;

	if (fd < 0)
		return NULL;
	while (len < MAX_PROC && (n = read(fd, text + len, MAX_PROC - len)) > 0)
		len += (gsize)n;
	close(fd);
	text[len] = '\0';
	return len ? g_steal_pointer(&text) : NULL;
}

/* The line of `text` that starts with `key`, past it; NULL if there is none. */
static const char *find_line(const char *text, const char *key)
{
	gsize len = strlen(key);

	while (text && *text) {
		if (strncmp(text, key, len) == 0)
			return text + len;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

/* In mountinfo's line "36 35 98:0 /root /mount-point …": the start of the one mounted at "/". */
static const char *find_root_mount(const char *text, gsize *len)
{
	while (text && *text) {
		char point[3];
		int end = 0;

		if (sscanf(text, "%*u %*u %*u:%*u %*s %2s%n", point, &end) == 1 &&
		    g_str_equal(point, "/")) {
			*len = (gsize)end;
			return text;
		}
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

gboolean caller_same_root_mount(const char *host, const char *theirs)
{
	gsize host_len = 0, their_len = 0;
	const char *host_root = find_root_mount(host, &host_len);
	const char *their_root = find_root_mount(theirs, &their_len);

	return host_root && their_root && host_len == their_len &&
	       memcmp(host_root, their_root, host_len) == 0;
}

static gboolean in_initial_user_namespace(pid_t pid)
{
	g_autofree char *map = read_proc(pid, "uid_map");
	guint inside, outside, count;

	return map && sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
	       outside == 0 && count == G_MAXUINT32;
}

gboolean caller_process_uid(pid_t pid, uid_t *uid)
{
	g_autofree char *status = read_proc(pid, "status");
	const char *line = find_line(status, "Uid:");

	return line && sscanf(line, "%u", uid) == 1;
}

static void set_unreadable(GError **error, pid_t pid, int reason)
{
	if (reason == EMFILE || reason == ENFILE)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "ublkd has no descriptor left to look at the calling process %d by",
			    pid);
	else
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
			    "the calling process %d cannot be looked at; it may have ended", pid);
}

/*
 * A container's root without CAP_SYS_ADMIN is not root. But where the bus gives no pidfd it can
 * pass for it: it connects, leaves the socket to a child, ends, and has the child call when all
 * other numbers have been used and its own has come to a root process of the host.
 *
 * Nothing tells that one from the caller. It started after the caller connected, but when that was
 * the bus does not say, and a connection's first call, by which ublkd knows it, may come much
 * later; to hear of each arrival would wake ublkd for everybody's, and be too late all the same,
 * since the pid is that of connect() and the bus tells of a connection after its Hello. To take
 * nobody for root there would be safe, but no administrator could use ublkd.
 *
 * So it is borne. It gives that container nothing that it has not: polkit says yes to every uid 0
 * on the same bus, and so systemd starts any unit for it, with all capabilities.
 */
static void set_root(Caller *caller, guint64 capabilities)
{
	caller->is_root = caller->uid == 0 && (capabilities & (1ULL << CAP_SYS_ADMIN)) &&
			  caller->in_host_users;
}

/* What /proc says; FALSE with `error` if it cannot be the process that the bus authenticated. */
static gboolean read_process(Caller *caller, GError **error)
{
	g_autofree char *status = read_proc(caller->pid, "status");
	g_autofree char *mounts = read_proc(caller->pid, "mountinfo");
	g_autofree char *host_mounts = read_proc(1, "mountinfo");
	const char *line;
	guint real_uid, real_gid;
	guint64 effective;

	line = find_line(status, "Uid:");
	if (!line || sscanf(line, "%u", &real_uid) != 1)
		goto unreadable;
	line = find_line(status, "Gid:");
	if (!line || sscanf(line, "%u", &real_gid) != 1)
		goto unreadable;
	line = find_line(status, "CapEff:");
	if (!line || sscanf(line, "%" G_GINT64_MODIFIER "x", &effective) != 1)
		goto unreadable;
	if (real_uid != caller->uid) {
		/* a set-user-id program, or a pid that is somebody else's by now */
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
			    "the caller is user %u on the bus but its process is user %u's",
			    caller->uid, real_uid);
		return FALSE;
	}
	caller->gid = real_gid;
	caller->in_host_mounts = caller_same_root_mount(host_mounts, mounts);
	caller->in_host_users = in_initial_user_namespace(caller->pid);
	set_root(caller, effective);
	return TRUE;

unreadable:
	set_unreadable(error, caller->pid, errno);
	return FALSE;
}

gboolean caller_is_alive(const Caller *caller)
{
	struct pollfd poll_fd = { .fd = caller->pidfd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 0;
}

/* ---- connections ---- */

static int open_process(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static gboolean peer_set(Peer *peer, GVariant *credentials, GUnixFDList *fds, GError **error)
{
	g_autoptr(GVariant) groups = NULL;
	guint32 uid, pid;
	gint32 handle;

	if (!g_variant_lookup(credentials, "UnixUserID", "u", &uid) ||
	    !g_variant_lookup(credentials, "ProcessID", "u", &pid)) {
		g_set_error_literal(error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
				    "the bus does not know who the caller is");
		return FALSE;
	}
	peer->uid = uid;
	peer->pid = (pid_t)pid;
	if (g_variant_lookup(credentials, "ProcessFD", "h", &handle)) {
		peer->pidfd = fds ? g_unix_fd_list_get(fds, handle, NULL) : -1;
		/* for lack of descriptors nobody gets to be judged by a number */
		if (peer->pidfd < 0) {
			set_unreadable(error, peer->pid, EMFILE);
			return FALSE;
		}
	} else {
		peer->pidfd = open_process(peer->pid);
	}
	groups = g_variant_lookup_value(credentials, "UnixGroupIDs", G_VARIANT_TYPE("au"));
	if (groups) {
		gsize n = 0;
		const guint32 *all = g_variant_get_fixed_array(groups, &n, sizeof(guint32));

		peer->n_groups = MIN(n, MAX_GROUPS);
		peer->groups = g_memdup2(all, peer->n_groups * sizeof(*all));
	}
	peer->is_known = TRUE;
	return TRUE;
}

/* Who that is now; NULL with `error` if it cannot be the process that connected. */
static Caller *caller_new(const char *sender, const Peer *peer, GError **error)
{
	g_autoptr(Caller) caller = g_new0(Caller, 1);

	caller->sender = g_strdup(sender);
	caller->uid = peer->uid;
	caller->pid = peer->pid;
	caller->n_groups = peer->n_groups;
	caller->groups = g_memdup2(peer->groups, peer->n_groups * sizeof(*peer->groups));
	caller->pidfd = peer->pidfd >= 0 ? fcntl(peer->pidfd, F_DUPFD_CLOEXEC, 0)
					 : open_process(peer->pid);
	if (caller->pidfd < 0) {
		set_unreadable(error, caller->pid, errno);
		return NULL;
	}
	if (!read_process(caller, error))
		return NULL;
	if (!caller_is_alive(caller)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
			    "the calling process %d has ended", caller->pid);
		return NULL;
	}
	return g_steal_pointer(&caller);
}

/* Nothing is known of it any more, if anything was; who waits for that is told why. */
static void peer_end(const char *sender, const GError *error)
{
	Peer *peer = g_hash_table_lookup(peers, sender);
	g_autoptr(GSList) waiting = NULL;

	if (!peer)
		return;
	g_hash_table_remove(peers, sender);
	waiting = g_slist_reverse(g_steal_pointer(&peer->waiting));
	for (GSList *l = waiting; l; l = l->next) {
		g_autofree Identification *identification = l->data;

		identification->done(NULL, error, identification->user_data);
	}
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	g_free(peer->groups);
	g_free(peer);
}

static void identify(const char *sender, const Peer *peer, CallerDone done, gpointer user_data)
{
	g_autoptr(GError) error = NULL;
	Caller *caller = caller_new(sender, peer, &error);

	done(caller, error, user_data);
}

/* What it left behind. */
static void forget(const char *sender)
{
	uid_t uid;
	GSList *fds = turns_forget(sender, &uid);

	unread_forget(sender);
	for (GSList *l = fds; l; l = l->next)
		descriptor_close_list_later(l->data, uid);
	g_slist_free_full(fds, g_object_unref);
}

static void on_credentials(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree char *sender = user_data;
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish(
		G_DBUS_CONNECTION(source), &fds, result, &error);
	g_autoptr(GVariant) credentials = reply ? g_variant_get_child_value(reply, 0) : NULL;
	g_autoptr(GSList) waiting = NULL;
	Peer *peer = g_hash_table_lookup(peers, sender);

	/* it has left meanwhile */
	if (!peer)
		return;
	if (g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER))
		forget(sender);
	if (error) {
		g_dbus_error_strip_remote_error(error);
		g_prefix_error(&error, "cannot find out who the caller is: ");
	}
	if (error || !peer_set(peer, credentials, fds, &error)) {
		/* its calls get this answer, or the one to asking once more */
		turns_introduce(sender, DESCRIPTOR_OF_NOBODY);
		inbox_give();
		peer_end(sender, error);
		return;
	}
	turns_introduce(sender, peer->uid);
	inbox_give();
	waiting = g_slist_reverse(g_steal_pointer(&peer->waiting));
	for (GSList *l = waiting; l; l = l->next) {
		g_autofree Identification *identification = l->data;

		identify(sender, peer, identification->done, identification->user_data);
	}
}

static Peer *find_peer(const char *sender)
{
	Peer *peer = g_hash_table_lookup(peers, sender);

	if (peer)
		return peer;
	peer = g_new0(Peer, 1);
	peer->pidfd = -1;
	g_hash_table_insert(peers, g_strdup(sender), peer);
	g_dbus_connection_call_with_unix_fd_list(
		connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
		"GetConnectionCredentials", g_variant_new("(s)", sender), G_VARIANT_TYPE("(a{sv})"),
		G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, on_credentials, g_strdup(sender));
	return peer;
}

static void on_name_lost(GDBusConnection *bus, const char *sender, const char *path,
			 const char *interface, const char *signal, GVariant *parameters,
			 gpointer unused)
{
	g_autoptr(GError) error = g_error_new_literal(UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
						      "the caller has left the bus");
	const char *name, *owner;

	g_variant_get(parameters, "(&s&s&s)", &name, NULL, &owner);
	if (*name != ':' || *owner != '\0')
		return;
	forget(name);
	peer_end(name, error);
}

gboolean caller_init(GDBusConnection *bus, GError **error)
{
	g_autoptr(GVariant) reply = NULL;

	connection = bus;
	peers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_dbus_connection_signal_subscribe(bus, "org.freedesktop.DBus", "org.freedesktop.DBus",
					   "NameOwnerChanged", "/org/freedesktop/DBus", NULL,
					   G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_name_lost, NULL,
					   NULL);
	/* of those who leave only: GDBus would ask for everybody who comes, too */
	reply = g_dbus_connection_call_sync(
		bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
		"AddMatch",
		g_variant_new("(s)", "type='signal',sender='org.freedesktop.DBus',"
				     "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
				     "arg2=''"),
		NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, error);
	return reply != NULL;
}

void caller_meet(const char *sender)
{
	find_peer(sender);
}

void caller_identify(const char *sender, CallerDone done, gpointer user_data)
{
	Peer *peer = find_peer(sender);
	Identification *identification;

	if (peer->is_known) {
		identify(sender, peer, done, user_data);
		return;
	}
	identification = g_new(Identification, 1);
	identification->done = done;
	identification->user_data = user_data;
	peer->waiting = g_slist_prepend(peer->waiting, identification);
}
