/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memfd-exec KIND SIZE COMMAND… : run the command with a memfd of SIZE bytes as descriptor 8. KIND:
 *
 *   sealed        as RegisterBuffer wants it: sealed, without holes
 *   read-only     the same, opened for reading
 *   future-write  the same, and sealed with F_SEAL_FUTURE_WRITE
 *   write         the same, and sealed with F_SEAL_WRITE
 *   write-only    the same, opened for writing
 *   path          the same, opened with O_PATH
 *   unsealed      without seals
 *   shrinkable    sealed, but not against being made shorter
 *   open          sealed, but not against more seals
 *   holes         sealed, with no page in it
 *   huge          of huge pages (their number does not matter: they are not there)
 *   secret        memfd_secret(2)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *kind;
		int seals, reopen;
	} kinds[] = {
		{ "sealed", SIZE_SEALS | F_SEAL_SEAL, 0 },
		{ "read-only", SIZE_SEALS | F_SEAL_SEAL, O_RDONLY | O_CREAT },
		{ "future-write", SIZE_SEALS | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE, 0 },
		{ "write", SIZE_SEALS | F_SEAL_SEAL | F_SEAL_WRITE, 0 },
		{ "write-only", SIZE_SEALS | F_SEAL_SEAL, O_WRONLY },
		{ "path", SIZE_SEALS | F_SEAL_SEAL, O_PATH },
		{ "unsealed", 0, 0 },
		{ "shrinkable", F_SEAL_GROW | F_SEAL_SEAL, 0 },
		{ "open", SIZE_SEALS, 0 },
		{ "holes", SIZE_SEALS | F_SEAL_SEAL, 0 },
		{ "huge", SIZE_SEALS | F_SEAL_SEAL, 0 },
		{ "secret", 0, 0 },
	};
	size_t i;
	int fd;

	if (argc < 4)
		return 2;
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[i].kind, argv[1]) != 0; i++)
		;
	if (i == sizeof(kinds) / sizeof(*kinds))
		return 2;
	if (strcmp(argv[1], "secret") == 0)
		fd = (int)syscall(SYS_memfd_secret, 0);
	else
		fd = memfd_create("test", MFD_ALLOW_SEALING |
						  (strcmp(argv[1], "huge") == 0 ? MFD_HUGETLB : 0));
	if (fd < 0 || ftruncate(fd, atol(argv[2])) < 0 ||
	    (strcmp(argv[1], "holes") != 0 && strcmp(argv[1], "huge") != 0 &&
	     strcmp(argv[1], "secret") != 0 && atol(argv[2]) > 0 &&
	     fallocate(fd, 0, 0, atol(argv[2])) < 0) ||
	    (kinds[i].seals && fcntl(fd, F_ADD_SEALS, kinds[i].seals) < 0)) {
		fprintf(stderr, "memfd-exec: %s: %s\n", argv[1], strerror(errno));
		return 3;
	}
	/* O_CREAT only marks "to be reopened, with flags that are 0". */
	if (kinds[i].reopen)
		fd = reopen(fd, kinds[i].reopen & ~O_CREAT);
	if (fd < 0 || dup2(fd, 8) < 0) {
		fprintf(stderr, "memfd-exec: %s: %s\n", argv[1], strerror(errno));
		return 3;
	}
	execvp(argv[3], argv + 3);
	return 3;
}
