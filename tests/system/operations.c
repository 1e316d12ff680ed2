/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * operations DEVICE BACKING DISK ZEROES : each operation of a block device, at its first and its
 * last sector and across the borders of what one request may be; judged by what DEVICE reads, and
 * by what is in BACKING (the file or device behind it), around the range as well as in it. DISK is
 * the kernel's name of the disk below, which counts its flushes, or "-" if there is none. ZEROES
 * says what is expected of discard and of zeroes that give space back: "holes" (and the space is
 * freed), "zeroes" (nobody can see whether) or "absent": then nothing may be announced, and the
 * operations must be refused. Prints one line, a row of the table in docs/server.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define KIB    1024ULL
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define AROUND (16 * KIB) /* looked at before and after each range */
#define BUFFER (4 * MIB)

#define FAIL(...)                                                     \
	do {                                                          \
		fprintf(stderr, "%s %s: ", argument[1], argument[2]); \
		fprintf(stderr, __VA_ARGS__);                         \
		fprintf(stderr, " (%s)\n", strerror(errno));          \
		exit(1);                                              \
	} while (0)

enum expectation { HOLES, ZEROES, ABSENT };

struct range {
	uint64_t start, length;
};

static char **argument;
static int device, backing;
static uint64_t size, block;
static bool backing_is_file;
static unsigned char *expected, *found;

static uint8_t byte_at(uint64_t where, unsigned int seed)
{
	uint64_t x = (where / 8 + 1) * 0x9e3779b97f4a7c15 + seed * 0xff51afd7ed558ccdULL;

	return (uint8_t)(x >> (8 * (where % 8)) | 1); /* never zero */
}

static void fill(unsigned char *buffer, struct range range, unsigned int seed)
{
	for (uint64_t i = 0; i < range.length; i++)
		buffer[i] = byte_at(range.start + i, seed);
}

static struct range around(struct range range)
{
	uint64_t start = range.start > AROUND ? range.start - AROUND : 0;
	uint64_t end = range.start + range.length + AROUND;

	return (struct range){ start, (end < size ? end : size) - start };
}

/* In pieces: a range of a gibibyte is looked at its two ends only. */
static void compare(int fd, const char *what, const char *operation, struct range all,
		    struct range range, unsigned int outside, int inside)
{
	for (uint64_t at = all.start; at < all.start + all.length;) {
		uint64_t end = all.start + all.length, n = end - at < MIB ? end - at : MIB;

		if (pread(fd, found, n, (off_t)at) != (ssize_t)n)
			FAIL("%s of %llu+%llu: cannot read %s", operation,
			     (unsigned long long)range.start, (unsigned long long)range.length,
			     what);
		for (uint64_t i = 0; i < n; i++) {
			bool in = at + i >= range.start && at + i < range.start + range.length;
			uint8_t right = !in          ? byte_at(at + i, outside)
					: inside < 0 ? 0
						     : byte_at(at + i, (unsigned int)inside);

			if (found[i] != right)
				FAIL("%s of %llu+%llu: byte %llu of %s is wrong", operation,
				     (unsigned long long)range.start,
				     (unsigned long long)range.length, (unsigned long long)(at + i),
				     what);
		}
		at += n;
		if (all.length > 8 * MIB && at == all.start + MIB)
			at = end - MIB;
	}
}

/* inside: the seed of what must be there now, or -1 for zeroes. */
static void verify(const char *operation, struct range range, unsigned int outside, int inside)
{
	compare(device, "the device", operation, around(range), range, outside, inside);
	compare(backing, "the backing", operation, around(range), range, outside, inside);
}

static void prepare(struct range range, unsigned int seed)
{
	struct range all = around(range);
	uint64_t end = all.start + all.length;

	for (uint64_t at = all.start; at < end;) {
		struct range piece = { at, end - at < MIB ? end - at : MIB };

		fill(expected, piece, seed);
		if (pwrite(device, expected, piece.length, (off_t)at) != (ssize_t)piece.length)
			FAIL("cannot write at %llu", (unsigned long long)at);
		at += piece.length;
		if (all.length > 8 * MIB && at == all.start + MIB)
			at = end - MIB;
	}
}

static void write_range(struct range range, unsigned int seed, int flags)
{
	struct iovec iov = { expected, range.length };

	fill(expected, range, seed);
	if (pwritev2(device, &iov, 1, (off_t)range.start, flags) != (ssize_t)range.length)
		FAIL("cannot write %llu+%llu", (unsigned long long)range.start,
		     (unsigned long long)range.length);
}

static unsigned long long flushes(void)
{
	unsigned long long fields[17] = { 0 };
	char path[64];
	FILE *file;
	int n = 0;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", argument[3]);
	file = fopen(path, "re");
	while (file && n < 17 && fscanf(file, "%llu", &fields[n]) == 1)
		n++;
	if (n != 17)
		FAIL("cannot read %s", path);
	fclose(file);
	return fields[15];
}

static unsigned long long limit(const char *name)
{
	const char *slash = strrchr(argument[1], '/');
	unsigned long long value;
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/%s", slash + 1, name);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llu", &value) != 1)
		FAIL("cannot read %s", path);
	fclose(file);
	return value;
}

static uint64_t allocated(void)
{
	struct stat st;

	if (fsync(device) < 0 || fsync(backing) < 0 || fstat(backing, &st) < 0)
		FAIL("cannot see how much of the backing is allocated");
	return (uint64_t)st.st_blocks * 512;
}

static int discard(struct range range)
{
	uint64_t both[2] = { range.start, range.length };

	return ioctl(device, BLKDISCARD, both);
}

/* Write zeroes with unmap, and nothing but that: never replaced by writing. */
static int punch(struct range range)
{
	return fallocate(device, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range.start,
			 (off_t)range.length);
}

/* Write zeroes without unmap; where that is not announced the block layer writes them itself. */
static int zero(struct range range)
{
	return fallocate(device, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)range.start,
			 (off_t)range.length);
}

static void test_zeroes(const char *name, int (*operation)(struct range),
			const struct range *ranges, bool supported)
{
	unsigned int seed = 50;

	for (; ranges->length; ranges++, seed++) {
		prepare(*ranges, seed);
		errno = 0;
		if (!supported) {
			if (operation(*ranges) == 0 || errno != EOPNOTSUPP)
				FAIL("%s is not refused", name);
			verify(name, *ranges, seed, (int)seed);
			continue;
		}
		if (operation(*ranges) < 0)
			FAIL("%s of %llu+%llu", name, (unsigned long long)ranges->start,
			     (unsigned long long)ranges->length);
		verify(name, *ranges, seed, -1);
	}
}

/* Is the space of a mebibyte given back? */
static void test_space(const char *name, int (*operation)(struct range), bool freed)
{
	struct range range = { 4 * MIB, MIB };
	uint64_t before;

	prepare(range, 90);
	before = allocated();
	if (operation(range) < 0)
		FAIL("%s", name);
	verify(name, range, 90, -1);
	if (freed && allocated() > before - MIB + 64 * KIB)
		FAIL("%s frees no space", name);
	if (!freed && allocated() < before)
		FAIL("%s gives space back", name);
}

static void announce(enum expectation expectation)
{
	static const char *const names[] = { "discard_max_bytes", "write_zeroes_max_bytes" };

	for (int i = 0; i < 2; i++)
		if ((limit(names[i]) == 0) != (expectation == ABSENT))
			FAIL("%s is %llu", names[i], limit(names[i]));
}

int main(int argc, char **argv)
{
	enum expectation expectation;
	struct stat st;
	uint64_t max_io;
	int sector;

	argument = argv;
	if (argc != 5) {
		fprintf(stderr, "usage: operations DEVICE BACKING DISK holes|zeroes|absent\n");
		return 2;
	}
	expectation = strcmp(argv[4], "absent") == 0  ? ABSENT
		      : strcmp(argv[4], "holes") == 0 ? HOLES
						      : ZEROES;
	device = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	backing = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (device < 0 || backing < 0 || fstat(backing, &st) < 0 ||
	    ioctl(device, BLKGETSIZE64, &size) < 0 || ioctl(device, BLKSSZGET, &sector) < 0)
		FAIL("cannot open");
	block = (uint64_t)sector;
	backing_is_file = S_ISREG(st.st_mode);
	if (posix_memalign((void **)&expected, 4096, BUFFER) ||
	    posix_memalign((void **)&found, 4096, BUFFER))
		FAIL("memory");
	max_io = limit("max_sectors_kb") * KIB;
	announce(expectation);

	/* The first sector, the last, around the border of a request, and more than two requests.
	 */
	const struct range ranges[] = {
		{ 0, block },
		{ size - block, block },
		{ max_io - block, 2 * block },
		{ 3 * max_io - block, 2 * max_io + 2 * block },
		{ 0 },
	};
	/* The same for the borders of what one request may discard (1 GiB) or zero (64 MiB). */
	const struct range discards[] = {
		ranges[0], ranges[1], ranges[3], { GIB - block, 2 * block }, { block, GIB + block },
		{ 0 },
	};
	const struct range zeroes[] = {
		ranges[0],
		ranges[1],
		ranges[3],
		{ 64 * MIB - block, 2 * block },
		{ 8 * MIB - block, 64 * MIB + 2 * block },
		{ 0 },
	};
	const struct range *large_discards = size > GIB + MIB ? discards : ranges;
	const struct range *large_zeroes = size > 80 * MIB ? zeroes : ranges;
	unsigned long long before;

	printf("block size %-4llu", (unsigned long long)block);
	for (const struct range *r = ranges; r->length; r++) {
		prepare(*r, 1);
		verify("write", *r, 1, 1);
		write_range(*r, 2, 0);
		verify("write", *r, 1, 2);
	}
	printf(" | read ok | write ok");
	for (const struct range *r = ranges; r->length; r++) {
		before = strcmp(argv[3], "-") == 0 ? 0 : flushes();
		write_range(*r, 3, 0);
		if (fdatasync(device) < 0)
			FAIL("flush");
		verify("write and flush", *r, 1, 3);
		if (strcmp(argv[3], "-") != 0 && flushes() == before)
			FAIL("a flush does not reach the disk");
	}
	printf(" | flush ok");
	for (const struct range *r = ranges; r->length; r++) {
		before = strcmp(argv[3], "-") == 0 ? 0 : flushes();
		write_range(*r, 4, RWF_DSYNC);
		verify("FUA write", *r, 1, 4);
		if (strcmp(argv[3], "-") != 0 && flushes() == before)
			FAIL("a FUA write does not reach the disk");
	}
	printf(" | FUA ok");
	test_zeroes("discard", discard, large_discards, expectation != ABSENT);
	printf(" | discard %s", expectation == ABSENT ? "not announced, EOPNOTSUPP" : "ok");
	test_zeroes("write zeroes with unmap", punch, large_zeroes, expectation != ABSENT);
	printf(" | zero+unmap %s", expectation == ABSENT ? "not announced, EOPNOTSUPP" : "ok");
	test_zeroes("write zeroes without unmap", zero, large_zeroes, true);
	printf(" | zero %s", expectation == ABSENT ? "written by the block layer" : "ok");
	if (expectation == HOLES) {
		if (!backing_is_file)
			FAIL("holes can be seen in a file only");
		test_space("discard", discard, true);
		test_space("write zeroes with unmap", punch, true);
		test_space("write zeroes without unmap", zero, false);
		printf(" | space freed, freed, kept");
	}
	putchar('\n');
	return 0;
}
