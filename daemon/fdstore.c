/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "descriptor.h"

/* What systemd passes begins here (SD_LISTEN_FDS_START). */
#define FIRST_FD 3

static void notify(const char *text, int fd)
{
	const char *path = g_getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	DescriptorControl control;
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr message = { .msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1 };
	gsize len = path ? strlen(path) : 0;
	int to;

	if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	message.msg_namelen = (socklen_t)(G_STRUCT_OFFSET(struct sockaddr_un, sun_path) + len);
	if (fd >= 0)
		descriptor_attach(&message, &control, fd);
	to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (to < 0 || sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		g_warning("cannot tell systemd \"%s\": %s", text, g_strerror(errno));
	if (to >= 0)
		close(to);
}

/* name → descriptor + 1 */
static GHashTable *received(void)
{
	static GHashTable *table;
	g_auto(GStrv) names = NULL;
	const char *list = g_getenv("LISTEN_FDNAMES");
	guint64 pid, n;

	if (table)
		return table;
	table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	if (!list || !g_getenv("LISTEN_PID") || !g_getenv("LISTEN_FDS") ||
	    !g_ascii_string_to_unsigned(g_getenv("LISTEN_PID"), 10, 1, G_MAXINT32, &pid, NULL) ||
	    !g_ascii_string_to_unsigned(g_getenv("LISTEN_FDS"), 10, 0, 65536, &n, NULL) ||
	    (pid_t)pid != getpid())
		return table;
	names = g_strsplit(list, ":", -1);
	for (guint i = 0; i < n && names[i]; i++) {
		fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
		g_hash_table_insert(table, g_strdup(names[i]), GINT_TO_POINTER(FIRST_FD + i + 1));
	}
	return table;
}

void fdstore_keep(const char *name, int fd)
{
	g_autofree char *text = g_strdup_printf("FDSTORE=1\nFDNAME=%s", name);

	notify(text, fd);
}

int fdstore_take(const char *name)
{
	int fd = GPOINTER_TO_INT(g_hash_table_lookup(received(), name)) - 1;

	g_hash_table_remove(received(), name);
	return fd;
}

void fdstore_drop(const char *name)
{
	g_autofree char *text = g_strdup_printf("FDSTOREREMOVE=1\nFDNAME=%s", name);

	notify(text, -1);
}
