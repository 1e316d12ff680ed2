/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shared-memory NUMBER check|hold|hammer|bench [SIZE]
 *
 * An application that shares memory with a device, as anybody could write one from
 * docs/shared-memory.md: make a memfd, seal it, register it over D-Bus, then do direct I/O from and
 * to it. Nothing of the project's code is in it.
 *
 *   check   write and read through the shared memory, compare with what goes the ordinary way, and
 *           take the memory back; prints "registered INDEX" and "served N of M"
 *   hold    register, print "registered INDEX", and exit when standard input ends
 *   hammer  register, print "registered INDEX", and write and read beyond the first 8 MiB, where
 *           check does not, until an error; prints that
 *   bench   reads and writes of SIZE bytes, from memory of its own and from shared memory in turns;
 *           prints the nanoseconds of each and how much faster the latter is
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

static _Noreturn void G_GNUC_PRINTF(1, 2) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("shared-memory: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static GDBusConnection *bus;
static char *object;

/* ---- what an application needs ---- */

/* Memory that can be shared: all of it there, and of this size for ever. */
static int make_memory(gsize size, char **memory)
{
	int fd = memfd_create("shared with a ublk device", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || fallocate(fd, 0, 0, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		die("memfd: %s", g_strerror(errno));
	*memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*memory == MAP_FAILED)
		die("mmap: %s", g_strerror(errno));
	return fd;
}

static guint register_memory(int fd)
{
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = NULL;
	guint index;

	g_unix_fd_list_append(fds, fd, NULL);
	reply = g_dbus_connection_call_with_unix_fd_list_sync(
		bus, "org.ublk1", object, "org.ublk1.Device", "RegisterBuffer",
		g_variant_new_parsed("(%h, @a{sv} {})", 0), G_VARIANT_TYPE("(u)"),
		G_DBUS_CALL_FLAGS_NONE, -1, fds, NULL, NULL, &error);
	if (!reply)
		die("RegisterBuffer: %s", error->message);
	g_variant_get(reply, "(u)", &index);
	return index;
}

static guint64 unregister_memory(guint index)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
		bus, "org.ublk1", object, "org.ublk1.Device", "UnregisterBuffer",
		g_variant_new_parsed("(%u, @a{sv} {})", index), G_VARIANT_TYPE("(t)"),
		G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
	guint64 served;

	if (!reply)
		die("UnregisterBuffer: %s", error->message);
	g_variant_get(reply, "(t)", &served);
	return served;
}

/* ---- the tests ---- */

#define MEMORY      (4U << 20)
#define HAMMER_BASE (8 << 20)

static int block;
static guint64 shared_requests; /* that nobody should have had to copy */

static char *own_memory(gsize size)
{
	/* whole pages */
	char *at = aligned_alloc(4096, (size + 4095) / 4096 * 4096);

	if (!at)
		die("out of memory");
	memset(at, 0, size);
	return at;
}

static void fill(char *at, gsize size, guint seed)
{
	for (gsize i = 0; i < size; i++)
		at[i] = (char)((i * 7 + i / 4096 + seed) & 0xff);
}

static void write_all(const char *from, gsize size, off_t offset)
{
	if (pwrite(block, from, size, offset) != (ssize_t)size)
		die("write of %zu at %lld: %s", size, (long long)offset, g_strerror(errno));
}

static void read_all(char *to, gsize size, off_t offset)
{
	if (pread(block, to, size, offset) != (ssize_t)size)
		die("read of %zu at %lld: %s", size, (long long)offset, g_strerror(errno));
}

static void compare(const char *what, const char *a, const char *b, gsize size)
{
	for (gsize i = 0; i < size; i++)
		if (a[i] != b[i])
			die("%s: byte %zu of %zu is %02x, not %02x", what, i, size, a[i] & 0xff,
			    b[i] & 0xff);
}

/* What is at `shared` goes out and comes back by the other way, and then the other way round. */
static void check_one(char *shared, gsize size, off_t offset, guint seed)
{
	g_autofree char *name = g_strdup_printf("%zu bytes at %lld", size, (long long)offset);
	char *own = own_memory(size), *expected = own_memory(size);

	fill(expected, size, seed);
	memcpy(shared, expected, size);
	write_all(shared, size, offset);
	compare("the memory after a write", shared, expected, size);
	read_all(own, size, offset);
	compare(name, own, expected, size);

	fill(own, size, seed + 101);
	write_all(own, size, offset);
	memset(shared, 0, size);
	read_all(shared, size, offset);
	compare(name, shared, own, size);
	shared_requests += 2;
	free(own);
	free(expected);
}

static void check(void)
{
	static const gsize sizes[] = { 512, 4096, 12288, 65536 };
	char *memory, *guard = own_memory(MEMORY);
	int fd = make_memory(MEMORY, &memory);
	guint index = register_memory(fd);
	guint64 served;

	printf("registered %u\n", index);
	for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
		for (guint page = 0; page < 64; page += 21)
			check_one(memory + page * 4096, sizes[i], (off_t)page * 8192, i + page);
	served = shared_requests;
	/* Where targets cannot take it: copied after all, nothing beside it is touched. */
	memset(memory, 0x55, MEMORY);
	memset(guard, 0x55, MEMORY);
	check_one(memory + 512, 4096, 0, 3);
	check_one(memory + 8192 + 1536, 65536, 65536, 4);
	memset(memory + 512, 0x55, 4096);
	memset(memory + 8192 + 1536, 0x55, 65536);
	compare("the memory beside", memory, guard, MEMORY);
	shared_requests = served;
	served = unregister_memory(index);
	printf("served %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT "\n", served, shared_requests);
	/* And then it is ordinary memory again. */
	check_one(memory, 65536, 0, 9);
	munmap(memory, MEMORY);
	close(fd);
	free(guard);
}

static void hold(void)
{
	char *memory, c;
	int fd = make_memory(MEMORY, &memory);

	printf("registered %u\n", register_memory(fd));
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

static void hammer(void)
{
	char *memory;
	int fd = make_memory(MEMORY, &memory);

	printf("registered %u\n", register_memory(fd));
	fflush(stdout);
	for (guint i = 0;; i++) {
		char *at = memory + i % 32 * 65536;
		off_t offset = HAMMER_BASE + (off_t)(i % 13) * 65536;

		fill(at, 65536, i);
		if (pwrite(block, at, 65536, offset) != 65536)
			break;
		memset(at, 0, 65536);
		if (pread(block, at, 65536, offset) != 65536)
			break;
	}
	printf("ended: %s\n", g_strerror(errno));
}

static gint64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (gint64)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Nanoseconds of one request; the best of several rounds. */
static gint64 measure(char *memory, gsize size, gboolean is_write)
{
	gint64 best = G_MAXINT64;
	guint n = (guint)((32U << 20) / size);

	for (guint round = 0; round < 5; round++) {
		gint64 since = now();

		for (guint i = 0; i < n; i++) {
			char *at = memory + i % (MEMORY / size) * size;
			off_t offset = (off_t)(i % (MEMORY / size)) * (off_t)size;

			if (is_write)
				write_all(at, size, offset);
			else
				read_all(at, size, offset);
		}
		best = MIN(best, (now() - since) / n);
	}
	return best;
}

static void bench(gsize size)
{
	char *memory, *own = own_memory(MEMORY);
	int fd = make_memory(MEMORY, &memory);
	guint index = register_memory(fd);

	memset(memory, 1, MEMORY);
	memset(own, 1, MEMORY);
	for (int is_write = 0; is_write <= 1; is_write++) {
		gint64 copied = measure(own, size, is_write);
		gint64 shared = measure(memory, size, is_write);

		printf("%s %zu copied-ns %" G_GINT64_FORMAT " shared-ns %" G_GINT64_FORMAT
		       " faster %.2f\n",
		       is_write ? "write" : "read", size, copied, shared,
		       (double)copied / (double)shared);
	}
	printf("served %" G_GUINT64_FORMAT "\n", unregister_memory(index));
	close(fd);
}

int main(int argc, char **argv)
{
	g_autofree char *node = NULL;
	g_autoptr(GError) error = NULL;

	if (argc < 3)
		die("usage: shared-memory NUMBER check|hold|hammer|bench [SIZE]");
	node = g_strdup_printf("/dev/ublkb%s", argv[1]);
	object = g_strdup_printf("/org/ublk1/devices/%s", argv[1]);
	bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (!bus)
		die("%s", error->message);
	block = open(node, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (block < 0)
		die("%s: %s", node, g_strerror(errno));
	if (strcmp(argv[2], "check") == 0)
		check();
	else if (strcmp(argv[2], "hold") == 0)
		hold();
	else if (strcmp(argv[2], "hammer") == 0)
		hammer();
	else if (strcmp(argv[2], "bench") == 0 && argc > 3 && atoi(argv[3]) >= 512)
		bench((gsize)atoi(argv[3]));
	else
		die("%s is nothing to do", argv[2]);
	close(block);
	return 0;
}
