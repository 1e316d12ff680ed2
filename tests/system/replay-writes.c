/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay-writes LOG IMAGE COMMAND… : does to IMAGE, a file of zeroes, what the kernel's
 * dm-log-writes has recorded in LOG, in that order, and runs COMMAND… NUMBER each time when
 * everything before was acknowledged as durable: after each flush and each FUA write. IMAGE then is
 * the disk of a machine that lost its power at that moment. NUMBER is the last mark ("dmsetup
 * message … mark NUMBER") that came before. Ends with the command's status when that is not 0.
 * dm-log-writes puts a write into the log when a flush that came after it is complete, or not at
 * all.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* drivers/md/dm-log-writes.c: a superblock, then entries of a sector, each followed by its data. */
#define MAGIC        0x6a736677736872ULL
#define FLAG_FLUSH   (1 << 0)
#define FLAG_FUA     (1 << 1)
#define FLAG_DISCARD (1 << 2)
#define FLAG_MARK    (1 << 3)
#define MAX_DATA     (64U << 20)

struct super {
	uint64_t magic, version, entries;
	uint32_t sector_size;
};

struct entry {
	uint64_t sector, sectors, flags, data_len;
};

static void fail(const char *what)
{
	fprintf(stderr, "replay-writes: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void read_at(int fd, void *buffer, size_t length, uint64_t offset)
{
	if (pread(fd, buffer, length, (off_t)offset) != (ssize_t)length)
		fail("cannot read the log");
}

static void write_at(int fd, const void *buffer, size_t length, uint64_t offset)
{
	if (pwrite(fd, buffer, length, (off_t)offset) != (ssize_t)length)
		fail("cannot write the image");
}

static void run(char **command, int words, const char *number)
{
	char **argv = calloc((size_t)words + 2, sizeof(*argv));
	int status;
	pid_t pid;

	memcpy(argv, command, (size_t)words * sizeof(*argv));
	argv[words] = strdup(number);
	pid = fork();
	if (pid < 0)
		fail("cannot fork");
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		fail("cannot wait");
	if (status != 0) {
		fprintf(stderr, "replay-writes: after mark %s: status %d\n", number,
			WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		exit(1);
	}
	free(argv[words]);
	free(argv);
}

int main(int argc, char **argv)
{
	unsigned int moments = 0, writes = 0;
	char number[64] = "0", mark[64];
	struct super super;
	uint64_t at, size;
	int log, image;
	char *data;

	if (argc < 4) {
		fprintf(stderr, "usage: replay-writes LOG IMAGE COMMAND…\n");
		return 2;
	}
	log = open(argv[1], O_RDONLY | O_CLOEXEC);
	image = open(argv[2], O_RDWR | O_CLOEXEC);
	data = malloc(MAX_DATA);
	if (log < 0 || image < 0 || !data)
		fail("cannot open");
	read_at(log, &super, sizeof(super), 0);
	if (le64toh(super.magic) != MAGIC) {
		fprintf(stderr, "replay-writes: this is no log of dm-log-writes\n");
		return 2;
	}
	size = le32toh(super.sector_size);
	at = size;
	for (uint64_t i = 0; i < le64toh(super.entries); i++) {
		struct entry entry;
		uint64_t flags, where, length;

		read_at(log, &entry, sizeof(entry), at);
		flags = le64toh(entry.flags);
		where = le64toh(entry.sector) * size;
		length = le64toh(entry.sectors) * size;
		if (flags & FLAG_MARK) {
			uint64_t len = le64toh(entry.data_len);

			if (len >= sizeof(mark))
				len = sizeof(mark) - 1;
			read_at(log, mark, len, at + sizeof(entry));
			mark[len] = '\0';
			/* there is one of the driver's own at the end */
			if (strspn(mark, "0123456789") == len) {
				memcpy(number, mark, sizeof(number));
				moments++;
				run(argv + 3, argc - 3, number);
			}
			at += size;
			continue;
		}
		at += size;
		if (length > MAX_DATA) {
			fprintf(stderr, "replay-writes: an entry of %llu bytes\n",
				(unsigned long long)length);
			return 2;
		}
		if (flags & FLAG_DISCARD) {
			/* a disk may give anything now; zeroes is what ours gives */
			memset(data, 0, length);
			write_at(image, data, length, where);
		} else if (length) {
			read_at(log, data, length, at);
			write_at(image, data, length, where);
			at += length;
			writes++;
		}
		if (flags & (FLAG_FLUSH | FLAG_FUA)) {
			moments++;
			run(argv + 3, argc - 3, number);
		}
	}
	printf("%u writes, %u moments, the last mark is %s\n", writes, moments, number);
	return 0;
}
