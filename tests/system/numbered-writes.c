/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * numbered-writes DEVICE BLOCKS        write until the device fails; print what was acknowledged
 * numbered-writes --check FILE BLOCKS  compare with what was acknowledged (from standard input)
 *
 * Write n (1, 2, …) fills 4 KiB block n % BLOCKS with the number n, by O_DIRECT, and is
 * acknowledged by an fdatasync that returned 0; only then "n" is printed. So, whatever kills the
 * server, each block of the backing file must hold the last number that was acknowledged for it, or
 * a later one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096

static int write_until_it_fails(const char *path, uint64_t blocks)
{
	int fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);
	char line[32];

	if (fd < 0 || !buf) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 2;
	}
	for (uint64_t n = 1;; n++) {
		int len;

		for (size_t i = 0; i < BLOCK / sizeof(*buf); i++)
			buf[i] = n;
		if (pwrite(fd, buf, BLOCK, (off_t)(n % blocks * BLOCK)) != BLOCK)
			return 0;
		if (fdatasync(fd) < 0)
			return 0;
		len = snprintf(line, sizeof(line), "%" PRIu64 "\n", n);
		if (write(STDOUT_FILENO, line, (size_t)len) != len)
			return 2;
	}
}

static int check(const char *path, uint64_t blocks)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t last = 0, n;
	uint64_t *buf = malloc(BLOCK);
	int bad = 0;

	if (fd < 0 || !buf) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 2;
	}
	while (scanf("%" SCNu64, &n) == 1)
		last = n;
	for (uint64_t block = 0; block < blocks; block++) {
		/* The last number up to `last` that is written to this block. */
		uint64_t expected = last - (last + blocks - block) % blocks;

		if (expected == 0 || expected > last)
			continue;
		if (pread(fd, buf, BLOCK, (off_t)(block * BLOCK)) != BLOCK) {
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			return 2;
		}
		for (size_t i = 0; i < BLOCK / sizeof(*buf); i++) {
			/* Only the one write that was under way may be newer, and may be torn. */
			if (buf[i] == expected ||
			    (buf[i] == last + 1 && (last + 1) % blocks == block))
				continue;
			fprintf(stderr,
				"block %" PRIu64 " holds %" PRIu64 " where %" PRIu64
				" was acknowledged\n",
				block, buf[i], expected);
			bad = 1;
			break;
		}
	}
	printf("%" PRIu64 " acknowledged\n", last);
	return bad;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return write_until_it_fails(argv[1], strtoull(argv[2], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "--check") == 0)
		return check(argv[2], strtoull(argv[3], NULL, 10));
	fprintf(stderr, "usage: numbered-writes [--check] PATH BLOCKS\n");
	return 2;
}
