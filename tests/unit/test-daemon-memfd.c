/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a caller says is memory to share: looked at without asking anybody who could keep us
 * waiting, and refused unless nobody can make it shorter any more. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/error.h"
#include "daemon/memfd.h"

#define SIZE   65536
#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int make(off_t size, unsigned int seals)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	if (size > 0)
		g_assert_cmpint(fallocate(fd, 0, 0, size), ==, 0);
	g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
	return fd;
}

static int reopen(int fd, int flags)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

	return open(path, flags | O_CLOEXEC);
}

/* Closes fd. */
static void refused(int fd, UblkError code, const char *words)
{
	g_autoptr(GError) error = NULL;
	Memfd memfd;

	g_assert_cmpint(fd, >=, 0);
	g_assert_false(memfd_check(fd, 1 << 20, &memfd, &error));
	g_assert_error(error, UBLK_ERROR, (int)code);
	g_assert_nonnull(strstr(error->message, words));
	close(fd);
}

/* Closes fd. */
static void taken(int fd, gboolean read_only)
{
	g_autoptr(GError) error = NULL;
	Memfd memfd;
	void *at;

	g_assert_cmpint(fd, >=, 0);
	g_assert_true(memfd_check(fd, 1 << 20, &memfd, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(memfd.size, ==, SIZE);
	g_assert_cmpint(memfd.read_only, ==, read_only);
	at = memfd_map(fd, &memfd, &error);
	g_assert_no_error(error);
	munmap(at, SIZE);
	close(fd);
}

static void takes_what_cannot_change_its_size(void)
{
	int fd = make(SIZE, SEALED);

	taken(reopen(fd, O_RDONLY), TRUE);
	taken(fd, FALSE);
	taken(make(SIZE, SEALED | F_SEAL_FUTURE_WRITE), TRUE);
}

static void refuses_what_can(void)
{
	refused(make(SIZE, 0), UBLK_ERROR_INVALID_ARGUMENT, "sealed");
	refused(make(SIZE, F_SEAL_SHRINK | F_SEAL_GROW), UBLK_ERROR_INVALID_ARGUMENT, "sealed");
	refused(make(SIZE, F_SEAL_GROW | F_SEAL_SEAL), UBLK_ERROR_INVALID_ARGUMENT, "sealed");
	refused(make(SIZE, F_SEAL_SHRINK | F_SEAL_SEAL), UBLK_ERROR_INVALID_ARGUMENT, "sealed");
}

static void refuses_what_is_no_memfd(void)
{
	int fd = make(SIZE, SEALED), pair[2];
	char name[] = "/tmp/test-memfd-XXXXXX";

	refused(reopen(fd, O_PATH), UBLK_ERROR_INVALID_ARGUMENT, "not a memfd");
	refused(reopen(fd, O_WRONLY), UBLK_ERROR_INVALID_ARGUMENT, "cannot be read");
	close(fd);
	refused(open("/dev/zero", O_RDWR), UBLK_ERROR_INVALID_ARGUMENT, "not a memfd");
	refused(open("/", O_RDONLY | O_DIRECTORY), UBLK_ERROR_INVALID_ARGUMENT, "memfd");
	g_assert_cmpint(pipe(pair), ==, 0);
	refused(pair[0], UBLK_ERROR_INVALID_ARGUMENT, "not a memfd");
	close(pair[1]);
	fd = mkstemp(name);
	unlink(name);
	g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
	/* on a tmpfs it has seals, though never these */
	refused(fd, UBLK_ERROR_INVALID_ARGUMENT, "memfd");
}

static void refuses_sizes(void)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING);

	refused(make(0, SEALED), UBLK_ERROR_INVALID_ARGUMENT, "page size");
	refused(make(SIZE + 1, SEALED), UBLK_ERROR_INVALID_ARGUMENT, "page size");
	refused(make((1 << 20) + 4096, SEALED), UBLK_ERROR_LIMIT_EXCEEDED, "at most");
	/* its pages would be ublkd's */
	g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
	g_assert_cmpint(fallocate(fd, 0, 0, SIZE - 4096), ==, 0);
	g_assert_cmpint(fcntl(fd, F_ADD_SEALS, SEALED), ==, 0);
	refused(fd, UBLK_ERROR_INVALID_ARGUMENT, "holes");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/memfd/takes-what-cannot-change-its-size",
			takes_what_cannot_change_its_size);
	g_test_add_func("/memfd/refuses-what-can", refuses_what_can);
	g_test_add_func("/memfd/refuses-what-is-no-memfd", refuses_what_is_no_memfd);
	g_test_add_func("/memfd/refuses-sizes", refuses_sizes);
	return g_test_run();
}
