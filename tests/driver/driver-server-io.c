/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Data goes through ublk-server unchanged: both targets, several queues and depths, direct and
 * buffered readers, many requests at once, sizes of all kinds; with the ordinary copying path and
 * with NEED_GET_DATA.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <linux/fs.h>

#include "kernel/ublk-abi.h"
#include "server-fixture.h"

#define FILE_SIZE (8 << 20)
#define THREADS   8

struct job {
	const struct device *device;
	unsigned int number;
	int flags;
};

/* One thread writes its own eighth of the device in pieces of odd sizes, then reads it all back. */
static void *verify_part(void *data)
{
	static const size_t sectors[] = { 1, 8, 3, 256, 17, 1024, 2, 64 };
	const struct job *job = data;
	size_t part = job->device->limits.size / THREADS / 4096 * 4096;
	uint64_t start = job->number * part, offset = start;
	char *buffer = alloc_buffer(1024 * 512);
	int fd = block_open(job->device, O_RDWR | job->flags);
	size_t unit = job->device->limits.logical_block_size;

	for (unsigned int i = 0; offset < start + part; i++) {
		size_t len = sectors[(i + job->number) % 8] * unit;

		if (len > 1024 * 512)
			len = 1024 * 512;
		if (offset + len > start + part)
			len = start + part - offset;
		fill_pattern(buffer, len, offset, job->number);
		write_all(fd, buffer, len, (off_t)offset);
		offset += len;
	}
	CHECK(fdatasync(fd) == 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (offset = start; offset < start + part; offset += 4096) {
		read_all(fd, buffer, 4096, (off_t)offset);
		CHECK(check_pattern(buffer, 4096, offset, job->number));
	}
	close(fd);
	free(buffer);
	return NULL;
}

static void verify_all(const struct device *device, int flags)
{
	struct job jobs[THREADS];
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		jobs[i] = (struct job){ device, i, flags };
		CHECK(pthread_create(&threads[i], NULL, verify_part, &jobs[i]) == 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* What the device was given is what the file holds. */
static void verify_file(const struct device *device, const char *path)
{
	size_t part = device->limits.size / THREADS / 4096 * 4096;
	char *buffer = alloc_buffer(4096);
	int fd = open(path, O_RDONLY);

	for (unsigned int number = 0; number < THREADS; number++) {
		for (uint64_t offset = number * part; offset < (number + 1) * part;
		     offset += 4096) {
			read_all(fd, buffer, 4096, (off_t)offset);
			CHECK(check_pattern(buffer, 4096, offset, number));
		}
	}
	close(fd);
	free(buffer);
}

static void loop_with(struct device_wish wish, const char *mode, int flags)
{
	struct device device;

	device_add(&device, wish);
	make_file("/tmp/img", FILE_SIZE);
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img", mode);
	CHECK(device.limits.size == FILE_SIZE);
	verify_all(&device, flags);
	device_delete_served(&device);
	verify_file(&device, "/tmp/img");
	unlink("/tmp/img");
	printf("loop, %u queues of %u, flags %llx, %s: ok\n", device.info.nr_hw_queues,
	       device.info.queue_depth, (unsigned long long)device.info.flags, mode);
}

/* null stores nothing, but must complete everything. */
static void null_with(struct device_wish wish)
{
	struct device device;
	char *buffer = alloc_buffer(1 << 20);
	int fd;

	device_add(&device, wish);
	DEVICE_SERVE(&device, "-t", "null", "--size", "1G");
	fd = block_open(&device, O_RDWR | O_DIRECT);
	CHECK(lseek(fd, 0, SEEK_END) == 1 << 30);
	for (off_t offset = 0; offset < 16 << 20; offset += 1 << 20) {
		write_all(fd, buffer, 1 << 20, offset);
		read_all(fd, buffer, 1 << 20, offset);
		read_all(fd, buffer, 512, offset + 512);
	}
	CHECK(fsync(fd) == 0);
	close(fd);
	free(buffer);
	device_delete_served(&device);
	printf("null, %u queues of %u: ok\n", device.info.nr_hw_queues, device.info.queue_depth);
}

/* A file that ends inside a block: the device ends before that, and its last sector works. */
static void odd_sizes(void)
{
	struct device device;
	char *buffer = alloc_buffer(8192);
	uint64_t size;
	int fd;

	for (int i = 0; i < 2; i++) {
		device_add(&device, (struct device_wish){ 0 });
		make_file("/tmp/img", (1 << 20) + 1000);
		DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img", "--logical-block-size",
			     i ? "4096" : "512");
		size = (1 << 20) + (i ? 0 : 512);
		CHECK(device.limits.size == size);
		fd = block_open(&device, O_RDWR | O_DIRECT);
		CHECK(lseek(fd, 0, SEEK_END) == (off_t)size);
		fill_pattern(buffer, device.limits.logical_block_size, 7, 7);
		write_all(fd, buffer, device.limits.logical_block_size,
			  (off_t)(size - device.limits.logical_block_size));
		memset(buffer, 1, 4096);
		read_all(fd, buffer, device.limits.logical_block_size,
			 (off_t)(size - device.limits.logical_block_size));
		CHECK(check_pattern(buffer, device.limits.logical_block_size, 7, 7));
		CHECK(pread(fd, buffer, 4096, (off_t)size) == 0);
		if (i)
			CHECK(pread(fd, buffer, 512, 0) == -1 && errno == EINVAL);
		close(fd);
		device_delete_served(&device);
	}
	unlink("/tmp/img");
	free(buffer);
	printf("odd sizes: ok\n");
}

int main(void)
{
	setlinebuf(stdout);
	null_with((struct device_wish){ .queues = 1, .depth = 128 });
	loop_with((struct device_wish){ .queues = 1, .depth = 32 }, "--buffered", O_DIRECT);
	loop_with((struct device_wish){ .queues = 1, .depth = 32 }, "--buffered", 0);
	loop_with((struct device_wish){ .queues = 1, .depth = 1 }, "--buffered", O_DIRECT);
	loop_with((struct device_wish){ .queues = 4, .depth = 128 }, "--buffered", O_DIRECT);
	loop_with((struct device_wish){ .queues = 1, .depth = 4096 }, "--buffered", O_DIRECT);
	loop_with((struct device_wish){ .queues = 2, .flags = UBLK_F_NEED_GET_DATA }, "--buffered",
		  O_DIRECT);
	loop_with((struct device_wish){ .depth = 1, .flags = UBLK_F_NEED_GET_DATA }, "--buffered",
		  0);
	null_with((struct device_wish){ .queues = 2, .flags = UBLK_F_NEED_GET_DATA });
	null_with((struct device_wish){ .depth = 4096 });
	odd_sizes();
	return 0;
}
