/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was acknowledged is kept: writers number what they write and note what a flush has
 * acknowledged; the server is killed, or told to end, in the middle; then the backing file must
 * hold for each block what was acknowledged last, or something newer.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/ublk-abi.h"
#include "server-fixture.h"

#define BLOCK   4096
#define BLOCKS  64 /* of each writer */
#define WRITERS 4
#define SIZE    (BLOCK * BLOCKS * WRITERS)

/* Shared with the writers: the newest generation of each block that was written and flushed. */
static struct progress {
	atomic_uint acknowledged[WRITERS][BLOCKS];
	atomic_uint rounds[WRITERS];
} * progress;

static void block_pattern(void *buffer, unsigned int writer, unsigned int block,
			  uint32_t generation)
{
	fill_pattern(buffer, BLOCK, (uint64_t)(writer * BLOCKS + block) * BLOCK, generation);
	memcpy(buffer, &generation, sizeof(generation));
}

/* Until an error: write some blocks, flush, note them. Some writers use FUA in place of the flush.
 */
static void write_until_error(const struct device *device, unsigned int writer)
{
	int flags = O_WRONLY | O_DIRECT | (writer % 2 ? O_DSYNC : 0);
	char *buffer = alloc_buffer(BLOCK);
	int fd = block_open(device, flags);
	unsigned int written = 0;
	off_t base = (off_t)writer * BLOCKS * BLOCK;

	for (uint32_t generation = 1;; generation++) {
		for (unsigned int block = 0; block < BLOCKS; block++) {
			block_pattern(buffer, writer, block, generation);
			if (pwrite(fd, buffer, BLOCK, base + (off_t)block * BLOCK) != BLOCK)
				_exit(0);
			if (writer % 2) {
				atomic_store(&progress->acknowledged[writer][block], generation);
				continue;
			}
			if (block % 16 != 15)
				continue;
			if (fdatasync(fd) < 0)
				_exit(0);
			for (; written <= block; written++)
				atomic_store(&progress->acknowledged[writer][written], generation);
		}
		written = 0;
		atomic_store(&progress->rounds[writer], generation);
	}
}

static unsigned int check_file(const char *path)
{
	char *buffer = alloc_buffer(BLOCK), *expected = alloc_buffer(BLOCK);
	unsigned int total = 0;
	int fd = open(path, O_RDONLY);

	CHECK(fd >= 0);
	for (unsigned int writer = 0; writer < WRITERS; writer++) {
		for (unsigned int block = 0; block < BLOCKS; block++) {
			uint32_t acknowledged = progress->acknowledged[writer][block];
			uint32_t found;

			read_all(fd, buffer, BLOCK, (off_t)(writer * BLOCKS + block) * BLOCK);
			memcpy(&found, buffer, sizeof(found));
			total += acknowledged;
			/* The one in flight when the server died may have been written, or not. */
			if (found != acknowledged && found != acknowledged + 1)
				FAIL("block %u of writer %u holds %u, acknowledged %u", block,
				     writer, found, acknowledged);
			if (found == 0)
				continue;
			block_pattern(expected, writer, block, found);
			CHECK(memcmp(buffer, expected, BLOCK) == 0);
		}
	}
	close(fd);
	free(buffer);
	free(expected);
	return total;
}

static void end_under_load(const char *path, const char *mode, uint64_t flags, int signo,
			   unsigned int delay_ms)
{
	const struct timespec delay = { .tv_nsec = delay_ms * 1000 * 1000 };
	struct device device;
	pid_t writers[WRITERS];
	unsigned int total;
	int status;

	memset(progress, 0, sizeof(*progress));
	make_file(path, SIZE);
	device_add(&device, (struct device_wish){ .queues = 2, .depth = 16, .flags = flags });
	DEVICE_SERVE(&device, "-t", "loop", "-f", path, mode);
	for (unsigned int i = 0; i < WRITERS; i++) {
		writers[i] = fork();
		if (writers[i] == 0)
			write_until_error(&device, i);
	}
	for (unsigned int i = 0; i < WRITERS; i++) {
		while (atomic_load(&progress->rounds[i]) == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 1000 * 1000 }, NULL);
	}
	nanosleep(&delay, NULL);
	server_signal(&device, signo);
	status = server_wait(&device);
	CHECK_EQ(status, signo == SIGKILL ? 128 + SIGKILL : 0);
	/* Nobody waits for ever. */
	for (unsigned int i = 0; i < WRITERS; i++)
		CHECK_EQ(util_wait(writers[i]), 0);
	total = check_file(path);
	device_delete(&device);
	unlink(path);
	STEP("signal %d after %u ms, %s: %u acknowledged writes kept", signo, delay_ms, mode,
	     total);
}

struct slow_write {
	const struct device *device;
	int result;
};

static void *write_slowly(void *data)
{
	struct slow_write *slow = data;
	char *buffer = alloc_buffer(BLOCK);
	int fd = block_open(slow->device, O_WRONLY | O_DIRECT);

	slow->result = pwrite(fd, buffer, BLOCK, 0) == BLOCK ? 0 : errno;
	close(fd);
	free(buffer);
	return NULL;
}

/* Until the disk below has a write to do. */
static void wait_for_write(const char *disk)
{
	unsigned int reads, writes = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/%s/inflight", strrchr(disk, '/') + 1);
	while (writes == 0) {
		file = fopen(path, "r");
		CHECK(file && fscanf(file, "%u %u", &reads, &writes) == 2);
		fclose(file);
		nanosleep(&(struct timespec){ .tv_nsec = 1000 * 1000 }, NULL);
	}
}

static const char *make_slow_disk(const char *completion_nsec)
{
	return null_disk_create((const struct null_disk_attribute[]){
		{ "irqmode", "2" }, { "completion_nsec", completion_nsec }, { 0 } });
}

/* On a disk that takes half a second for everything: what has begun when the signal comes succeeds.
 */
static void finishes_what_it_has_begun(void)
{
	const char *disk = make_slow_disk("500000000");
	struct device device;
	struct slow_write slow = { .device = &device };
	pthread_t thread;

	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", disk, "--direct");
	CHECK(pthread_create(&thread, NULL, write_slowly, &slow) == 0);
	wait_for_write(disk);
	server_signal(&device, SIGTERM);
	CHECK_EQ(server_wait(&device), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(slow.result, 0);
	device_delete(&device);

	/* A second signal does not wait: not for the three seconds that this disk takes. */
	null_disk_remove();
	disk = make_slow_disk("3000000000");
	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", disk, "--direct");
	CHECK(pthread_create(&thread, NULL, write_slowly, &slow) == 0);
	wait_for_write(disk);
	server_signal(&device, SIGTERM);
	nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000 * 1000 }, NULL);
	server_signal(&device, SIGINT);
	CHECK_EQ(server_wait(&device), 1);
	pthread_join(thread, NULL);
	CHECK_EQ(slow.result, EIO);
	device_delete(&device);
	null_disk_remove();
	STEP("finishes what it has begun: ok");
}

/*
 * On a disk that writes 1.6 MiB in a second (what null_blk makes of one): the page cache would take
 * it all, and its flush longer than a request may. No write and no flush fails. null_blk takes no
 * request that is more than it does in a fiftieth of a second.
 */
static void flushes_a_slow_disk_in_time(void)
{
	const char *disk = null_disk_create(
		(const struct null_disk_attribute[]){
			{ "size", "60" }, { "mbps", "2" }, { "max_sectors", "32" }, { 0 } });
	char *buffer = alloc_buffer(1 << 20);
	struct device device;
	int fd;

	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", disk, "--buffered");
	fd = block_open(&device, O_RDWR | O_DIRECT);
	for (off_t offset = 0; offset < 60 << 20; offset += 1 << 20) {
		fill_pattern(buffer, 1 << 20, (uint64_t)offset, 3);
		write_all(fd, buffer, 1 << 20, offset);
	}
	CHECK(fsync(fd) == 0);
	close(fd);
	free(buffer);
	device_delete_served(&device);
	null_disk_remove();
	STEP("flushes a slow disk in time: ok");
}

int main(void)
{
	static const int signals[] = { SIGKILL, SIGTERM };
	struct device device;
	int signo;

	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	CHECK(progress != MAP_FAILED);
	finishes_what_it_has_begun();
	flushes_a_slow_disk_in_time();
	/* A real disk's file system, for direct I/O. */
	disk_attach("/tmp/disk", 8 << 20);
	shell("mke2fs /dev/loop0 > /dev/null 2>&1 && mkdir -p /tmp/mnt && "
	      "mount -t ext2 /dev/loop0 /tmp/mnt");
	for (int i = 0; i < 2; i++) {
		signo = signals[i];
		end_under_load("/tmp/img", "--buffered", 0, signo, 0);
		end_under_load("/tmp/img", "--buffered", UBLK_F_NEED_GET_DATA, signo, 50);
		end_under_load("/tmp/mnt/img", "--direct", 0, signo, 30);
		end_under_load("/tmp/mnt/img", "--buffered", 0, signo, 100);
		end_under_load("/tmp/mnt/img", "--direct", UBLK_F_NEED_GET_DATA, signo, 10);
	}
	shell("umount /tmp/mnt || { sleep 1; umount /tmp/mnt; }");
	disk_detach("/tmp/disk");

	/* Deleted under load: the driver waits for what is in flight, and the server ends well. */
	make_file("/tmp/img", SIZE);
	device_add(&device, (struct device_wish){ .queues = 2 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img");
	memset(progress, 0, sizeof(*progress));
	for (unsigned int i = 0; i < WRITERS; i++) {
		if (fork() == 0)
			write_until_error(&device, i);
	}
	while (atomic_load(&progress->rounds[0]) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000 * 1000 }, NULL);
	device_delete_served(&device);
	for (unsigned int i = 0; i < WRITERS; i++)
		wait(NULL);
	check_file("/tmp/img");
	STEP("deleted under load: ok");
	return 0;
}
