/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block-io FILE OPERATION… : does one operation after the other on a block device, by direct I/O,
 * and says of each on a line of its own what came of it: "ok", the name of the error, "wrong" where
 * a read gave something else than what belongs there. What belongs to a byte depends on where it is
 * and on a number, SEED.
 *
 *	write:OFFSET:LENGTH:SEED	fua:OFFSET:LENGTH:SEED		read:OFFSET:LENGTH:SEED
 *	zeroes:OFFSET:LENGTH (a read)	flush				discard:OFFSET:LENGTH
 *	punch:OFFSET:LENGTH (zeroes that may give space back; no writing in their place)
 *	zero:OFFSET:LENGTH (zeroes that keep the space, by whatever means)
 *	both:OFFSET:LENGTH:SEED (on each of two processors, and so of two queues, at the same time:
 *	write a half, tell, wait for a line of input, flush; says both results)
 *
 * The first word may be --buffered: through the page cache, as one looks at a backing file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_LENGTH (4U << 20)

static int fd;
static uint64_t offset, length, seed;

static uint64_t word_at(uint64_t where)
{
	return (where + 1) * 0x9e3779b97f4a7c15 ^ seed * 0xff51afd7ed558ccd;
}

static void fill(uint64_t *buffer)
{
	for (uint64_t i = 0; i < length / 8; i++)
		buffer[i] = word_at(offset + i * 8);
}

static const char *check(const uint64_t *buffer, bool zeroes)
{
	for (uint64_t i = 0; i < length / 8; i++)
		if (buffer[i] != (zeroes ? 0 : word_at(offset + i * 8)))
			return "wrong";
	return "ok";
}

static const char *result(long long ret, long long good)
{
	if (ret == good)
		return "ok";
	return ret < 0 ? strerrorname_np(errno) : "short";
}

static void *allocate(void)
{
	void *buffer;

	if (posix_memalign(&buffer, 4096, MAX_LENGTH) != 0)
		abort();
	/* A read that fails must not leave what looks like success. */
	memset(buffer, 0x5a, MAX_LENGTH);
	return buffer;
}

struct half {
	pthread_t thread;
	unsigned int number;
	const char *result;
};

static pthread_barrier_t barrier;

static void *do_half(void *data)
{
	struct half *half = data;
	uint64_t each = length / 2, *buffer = allocate();
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(half->number, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
		half->result = strerrorname_np(errno);
	for (uint64_t i = 0; i < each / 8; i++)
		buffer[i] = word_at(offset + half->number * each + i * 8);
	if (pwrite(fd, buffer, each, (off_t)(offset + half->number * each)) != (ssize_t)each)
		half->result = "write";
	pthread_barrier_wait(&barrier);
	/* main() waits for its line of input */
	pthread_barrier_wait(&barrier);
	if (!half->result)
		half->result = result(fdatasync(fd), 0);
	return NULL;
}

static void do_both(void)
{
	struct half halves[2] = { { .number = 0 }, { .number = 1 } };
	char line[16];

	pthread_barrier_init(&barrier, NULL, 3);
	for (int i = 0; i < 2; i++)
		pthread_create(&halves[i].thread, NULL, do_half, &halves[i]);
	pthread_barrier_wait(&barrier);
	puts("written");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(1);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 2; i++)
		pthread_join(halves[i].thread, NULL);
	printf("%s %s\n", halves[0].result, halves[1].result);
	fflush(stdout);
}

static const char *perform(const char *name, uint64_t *buffer)
{
	uint64_t range[2] = { offset, length };
	struct iovec iov = { buffer, length };
	ssize_t ret;

	if (strcmp(name, "write") == 0 || strcmp(name, "fua") == 0) {
		fill(buffer);
		return result(pwritev2(fd, &iov, 1, (off_t)offset, *name == 'f' ? RWF_DSYNC : 0),
			      (long long)length);
	}
	if (strcmp(name, "read") == 0 || strcmp(name, "zeroes") == 0) {
		ret = pread(fd, buffer, length, (off_t)offset);
		return ret == (ssize_t)length ? check(buffer, *name == 'z')
					      : result(ret, (long long)length);
	}
	if (strcmp(name, "flush") == 0)
		return result(fdatasync(fd), 0);
	if (strcmp(name, "discard") == 0)
		return result(ioctl(fd, BLKDISCARD, range), 0);
	if (strcmp(name, "punch") == 0)
		return result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)offset, (off_t)length),
			      0);
	if (strcmp(name, "zero") == 0)
		return result(ioctl(fd, BLKZEROOUT, range), 0);
	fprintf(stderr, "no operation %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	bool buffered = argc > 1 && strcmp(argv[1], "--buffered") == 0;
	uint64_t *buffer = allocate();

	if (buffered) {
		argv++;
		argc--;
	}
	if (argc < 3) {
		fprintf(stderr, "usage: block-io [--buffered] FILE OPERATION…\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_CLOEXEC | (buffered ? 0 : O_DIRECT));
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		char name[16] = "";
		unsigned long long o = 0, l = 0, s = 0;

		sscanf(argv[i], "%15[^:]:%llu:%llu:%llu", name, &o, &l, &s);
		offset = o;
		length = l;
		seed = s;
		if (*name != 'd' && *name != 'z' && *name != 'p' && length > MAX_LENGTH) {
			fprintf(stderr, "%s is too long\n", argv[i]);
			return 2;
		}
		if (strcmp(name, "both") == 0) {
			do_both();
			continue;
		}
		puts(perform(name, buffer));
		fflush(stdout);
	}
	return 0;
}
