/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * add-many FILE COUNT
 *
 * COUNT times: AddDevice over FILE, look at both nodes and use the device the moment that the call
 * has returned, Delete, look again the moment that this has returned. Nothing is retried and
 * nothing is waited for: whatever is not true yet is an error. From the second round on the same
 * number is demanded, so that a number that is not free again is an error as well. The first sector
 * of FILE must hold something to compare. Prints what a round took.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gio/gio.h>

static _Noreturn void G_GNUC_PRINTF(1, 2) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("add-many: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static GDBusConnection *bus;
static gint round_no;

static _Noreturn void G_GNUC_PRINTF(1, 2) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("round %d: ", round_no);
	vprintf(format, args);
	puts("");
	va_end(args);
	exit(1);
}

static GVariant *call(const gchar *path, const gchar *interface, const gchar *method,
		      GVariant *parameters)
{
	g_autoptr(GError) error = NULL;
	GVariant *reply = g_dbus_connection_call_sync(bus, "org.ublk1", path, interface, method,
						      parameters, NULL, G_DBUS_CALL_FLAGS_NONE,
						      60000, NULL, &error);

	if (!reply)
		fail("%s: %s", method, error->message);
	return reply;
}

static void check_node(const gchar *path, mode_t type)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		fail("%s is not there when the call returns: %s", path, strerror(errno));
	if ((st.st_mode & S_IFMT) != type)
		fail("%s is not a node of the right kind", path);
	if (st.st_uid != getuid() || st.st_gid != getgid() || (st.st_mode & 07777) != 0600)
		fail("%s is %u:%u %#o when the call returns, not %u:%u 0600", path, st.st_uid,
		     st.st_gid, st.st_mode & 07777, getuid(), getgid());
}

static void check_gone(const gchar *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 || errno != ENOENT)
		fail("%s is still there when Delete returns", path);
}

static void check_data(const gchar *path, const char *expected)
{
	char sector[512];
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail("%s cannot be opened when the call returns: %s", path, strerror(errno));
	if (pread(fd, sector, sizeof(sector), 0) != sizeof(sector))
		fail("%s cannot be read: %s", path, strerror(errno));
	if (memcmp(sector, expected, sizeof(sector)) != 0)
		fail("%s does not hold what the file holds", path);
	close(fd);
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autofree gchar *file = NULL;
	gint64 adding = 0, deleting = 0, start;
	guint32 number = 0;
	int count;
	gsize len;

	if (argc != 3)
		die("usage: add-many FILE COUNT");
	count = atoi(argv[2]);
	if (!g_file_get_contents(argv[1], &file, &len, &error) || len < 512)
		die("%s: %s", argv[1], error ? error->message : "too short");
	bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (!bus)
		die("%s", error->message);

	for (round_no = 1; round_no <= count; round_no++) {
		g_autoptr(GVariant) reply = NULL;
		g_autoptr(GVariant) deleted = NULL;
		g_autofree gchar *block = NULL;
		g_autofree gchar *character = NULL;
		GVariantDict options;
		const gchar *object;

		g_variant_dict_init(&options, NULL);
		g_variant_dict_insert(&options, "file", "s", argv[1]);
		if (round_no > 1)
			g_variant_dict_insert(&options, "id", "u", number);
		start = g_get_monotonic_time();
		reply = call("/org/ublk1/Manager", "org.ublk1.Manager", "AddDevice",
			     g_variant_new("(s@a{sv})", "loop", g_variant_dict_end(&options)));
		adding += g_get_monotonic_time() - start;
		g_variant_get(reply, "(&o)", &object);
		if (round_no == 1)
			number = (guint32)atoi(strrchr(object, '/') + 1);
		else if ((guint32)atoi(strrchr(object, '/') + 1) != number)
			fail("asked for number %u, got %s", number, object);
		block = g_strdup_printf("/dev/ublkb%u", number);
		character = g_strdup_printf("/dev/ublkc%u", number);
		check_node(block, S_IFBLK);
		check_node(character, S_IFCHR);
		check_data(block, file);

		start = g_get_monotonic_time();
		deleted = call(object, "org.ublk1.Device", "Delete",
			       g_variant_new("(@a{sv})",
					     g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0)));
		deleting += g_get_monotonic_time() - start;
		check_gone(block);
		check_gone(character);
	}
	printf("%d rounds: %" G_GINT64_FORMAT " ms to add, %" G_GINT64_FORMAT " ms to delete\n",
	       count, adding / 1000 / count, deleting / 1000 / count);
	return 0;
}
