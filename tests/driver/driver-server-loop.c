/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop target's block semantics over real backings: tmpfs (which has holes, and no other way to
 * make zeroes), block devices of the kernel's loop and null_blk drivers, and a file system without
 * holes. What was discarded or zeroed reads as zeroes; a flush reaches the disk; an error stays
 * one.
 */
#include <fcntl.h>
#include <signal.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/ublk-abi.h"
#include "server-fixture.h"

#define MIB (1U << 20)

static uint64_t allocated(const char *path)
{
	struct stat st;

	CHECK(stat(path, &st) == 0);
	return (uint64_t)st.st_blocks * 512;
}

static void write_pattern(int fd, uint64_t start, uint64_t end, uint32_t seed)
{
	char *buffer = alloc_buffer(MIB);

	for (uint64_t offset = start; offset < end; offset += MIB) {
		size_t len = end - offset < MIB ? end - offset : MIB;

		fill_pattern(buffer, len, offset, seed);
		write_all(fd, buffer, len, (off_t)offset);
	}
	free(buffer);
}

/* The device holds the pattern, but for zeroes from `start` to `end`. */
static void expect_hole(int fd, uint64_t size, uint32_t seed, uint64_t start, uint64_t end)
{
	char *buffer = alloc_buffer(MIB);

	for (uint64_t offset = 0; offset < size; offset += 512) {
		const char *sector = buffer + offset % MIB;

		if (offset % MIB == 0)
			read_all(fd, buffer, MIB, (off_t)offset);
		if (offset >= start && offset < end ? !is_zero(sector, 512)
						    : !check_pattern(sector, 512, offset, seed))
			FAIL("wrong data at %llu (hole %llu-%llu)", (unsigned long long)offset,
			     (unsigned long long)start, (unsigned long long)end);
	}
	free(buffer);
}

enum way {
	WAY_DISCARD,
	WAY_ZEROOUT, /* write zeroes that keep their space */
	WAY_PUNCH,   /* write zeroes that may give it back */
};

static void make_zeroes(int fd, enum way way, uint64_t start, uint64_t len)
{
	uint64_t range[2] = { start, len };
	int ret;

	if (way == WAY_PUNCH)
		ret = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
				(off_t)len);
	else
		ret = ioctl(fd, way == WAY_DISCARD ? BLKDISCARD : BLKZEROOUT, range);
	if (ret < 0)
		FAIL("way %d at %llu: %s", way, (unsigned long long)start, strerror(errno));
}

/*
 * Each way on each kind of range. `file` is what the space is taken from, in the end; the device's
 * own backing is `backing`.
 */
static void zeroes_over(const char *backing, const char *file, const char *mode)
{
	static const struct {
		enum way way;
		uint64_t start, len;
	} cases[] = {
		{ WAY_DISCARD, MIB, 2 * MIB },
		{ WAY_PUNCH, MIB, 2 * MIB },
		{ WAY_PUNCH, 4 * MIB - 4096, 4096 },
		{ WAY_DISCARD, 0, 4 * MIB },
		/*
		 * Last: the kernel's loop over tmpfs cannot zero without unmapping, and does
		 * neither any more once it has found that out.
		 */
		{ WAY_ZEROOUT, MIB, 2 * MIB },
		{ WAY_ZEROOUT, 512, 512 },
		{ WAY_ZEROOUT, 512, 3 * MIB },
		{ WAY_ZEROOUT, 0, 512 },
		{ WAY_ZEROOUT, 4 * MIB - 512, 512 },
	};
	struct device device;
	uint64_t before;
	int fd;

	device_add(&device, (struct device_wish){ .queues = 2 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", backing, mode);
	CHECK(device.limits.max_discard_size > 0 && device.limits.max_write_zeroes_size > 0);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t start = cases[i].start, len = cases[i].len;

		write_pattern(fd, 0, 4 * MIB, i);
		CHECK(fsync(fd) == 0);
		before = allocated(file);
		CHECK(before >= 4 * MIB);
		make_zeroes(fd, cases[i].way, start, len);
		expect_hole(fd, 4 * MIB, i, start, start + len);
		if (cases[i].way == WAY_ZEROOUT)
			CHECK(allocated(file) >= before);
		else if (allocated(file) + len > before)
			FAIL("case %u gave back %lld of %llu bytes", i,
			     (long long)(before - allocated(file)), (unsigned long long)len);
	}
	close(fd);
	device_delete_served(&device);
	STEP("zeroes over %s, %s: ok", backing, mode);
}

static void zeroes_over_tmpfs(void)
{
	make_file("/tmp/img", 4 * MIB);
	zeroes_over("/tmp/img", "/tmp/img", "--buffered");
	unlink("/tmp/img");
}

static void zeroes_over_block_device(void)
{
	static const char *const modes[] = { "--buffered", "--direct" };

	for (int i = 0; i < 2; i++) {
		disk_attach("/tmp/disk", 4 * MIB);
		zeroes_over("/dev/loop0", "/tmp/disk", modes[i]);
		disk_detach("/tmp/disk");
	}
}

/* ext2 has holes, but no other way to make zeroes; and blocks of a disk, so direct I/O is the
 * default. */
static void zeroes_over_file_system(void)
{
	disk_attach("/tmp/disk", 16 * MIB);
	shell("mke2fs /dev/loop0 > /dev/null 2>&1");
	shell("mkdir -p /tmp/mnt && mount -t ext2 /dev/loop0 /tmp/mnt");
	make_file("/tmp/mnt/img", 4 * MIB);
	zeroes_over("/tmp/mnt/img", "/tmp/mnt/img", "--direct");
	zeroes_over("/tmp/mnt/img", "/tmp/mnt/img", "--buffered");
	shell("umount /tmp/mnt || { sleep 1; umount /tmp/mnt; }");
	disk_detach("/tmp/disk");
}

/* No holes: nothing is announced that the backing cannot do, and zeroes come all the same. */
static void file_system_without_holes(void)
{
	struct device device;
	uint64_t range[2] = { 512, MIB };
	int fd;

	shell("mkdir -p /tmp/mnt && mount -t ramfs ramfs /tmp/mnt");
	make_file("/tmp/mnt/img", 4 * MIB);
	device_add(&device, (struct device_wish){ 0 });
	SERVER_RUN(&device, "-t", "loop", "-f", "/tmp/mnt/img", "--direct");
	CHECK(!server_read_report(&device));
	CHECK(strstr(device.text, "leave --direct out"));
	CHECK_EQ(server_wait(&device), 1);

	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/mnt/img");
	CHECK(device.limits.max_discard_size == 0 && device.limits.max_write_zeroes_size == 0);
	CHECK(device.limits.logical_block_size == 512);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	write_pattern(fd, 0, 4 * MIB, 5);
	CHECK(ioctl(fd, BLKDISCARD, range) == -1 && errno == EOPNOTSUPP);
	CHECK(ioctl(fd, BLKZEROOUT, range) == 0);
	expect_hole(fd, 4 * MIB, 5, 512, 512 + MIB);
	close(fd);
	device_delete_served(&device);
	shell("umount /tmp/mnt || { sleep 1; umount /tmp/mnt; }");
	STEP("a file system without holes: ok");
}

/* How many flushes a block device has seen. */
static unsigned long long flushes(const char *disk)
{
	unsigned long long fields[17] = { 0 };
	char path[64];
	FILE *file;
	int n = 0;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", disk);
	file = fopen(path, "r");
	CHECK(file);
	while (n < 17 && fscanf(file, "%llu", &fields[n]) == 1)
		n++;
	fclose(file);
	CHECK(n == 17);
	return fields[15];
}

/* FLUSH and FUA get as far as the disk below; a plain write causes none. */
static void flushes_reach_the_disk(const char *mode)
{
	char *buffer = alloc_buffer(4096);
	struct device device;
	unsigned long long before;
	int fd, sync_fd;

	disk_attach("/tmp/disk", 4 * MIB);
	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/dev/loop0", mode);
	CHECK(device.limits.volatile_cache && device.limits.fua);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	sync_fd = block_open(&device, O_RDWR | O_DIRECT | O_DSYNC);

	before = flushes("loop0");
	write_all(fd, buffer, 4096, 0);
	CHECK_EQ(flushes("loop0"), before);
	CHECK(fsync(fd) == 0);
	CHECK_EQ(flushes("loop0"), before + 1);
	/* O_DSYNC on a block device is a FUA write, and a flush after it. */
	write_all(sync_fd, buffer, 4096, 4096);
	CHECK_EQ(flushes("loop0"), before + 3);
	close(fd);
	close(sync_fd);
	device_delete_served(&device);
	CHECK(flushes("loop0") > before + 3); /* the server's last sync */
	disk_detach("/tmp/disk");
	free(buffer);
	STEP("flushes reach the disk, %s: ok", mode);
}

static void read_only(void)
{
	char *buffer = alloc_buffer(4096);
	struct device device;
	uint64_t range[2] = { 0, 4096 };
	int fd, ro = 0;

	make_file("/tmp/img", MIB);
	fd = open("/tmp/img", O_WRONLY);
	write_pattern(fd, 0, MIB, 9);
	close(fd);

	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img", "-r");
	CHECK(device.limits.read_only && !device.limits.max_discard_size);
	fd = block_open(&device, O_RDONLY | O_DIRECT);
	CHECK(ioctl(fd, BLKROGET, &ro) == 0 && ro == 1);
	read_all(fd, buffer, 4096, 4096);
	CHECK(check_pattern(buffer, 4096, 4096, 9));
	close(fd);
	fd = open(device.block, O_RDWR | O_DIRECT);
	CHECK(fd == -1 || (pwrite(fd, buffer, 4096, 0) == -1 && errno == EPERM));
	close(fd);
	device_delete_served(&device);

	/* A server that was told read-only refuses, whatever the kernel was told. */
	device_add(&device, (struct device_wish){ 0 });
	SERVER_RUN(&device, "-t", "loop", "-f", "/tmp/img", "-r");
	CHECK(server_read_report(&device));
	device.limits.read_only = false;
	device.limits.max_discard_size = MIB;
	device.limits.discard_granularity = 4096;
	device.limits.max_write_zeroes_size = MIB;
	CHECK(device_start(&device) == 0);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	CHECK(pwrite(fd, buffer, 4096, 0) == -1 && errno == EIO);
	CHECK(ioctl(fd, BLKDISCARD, range) == -1 && errno == EIO);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == -1);
	read_all(fd, buffer, 4096, 0);
	CHECK(check_pattern(buffer, 4096, 0, 9));
	close(fd);
	device_delete_served(&device);
	unlink("/tmp/img");

	/* Not even where the target has no file that would refuse. */
	device_add(&device, (struct device_wish){ 0 });
	SERVER_RUN(&device, "-t", "null", "-r");
	CHECK(server_read_report(&device));
	CHECK(device.limits.read_only);
	device.limits.read_only = false;
	CHECK(device_start(&device) == 0);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	CHECK(pwrite(fd, buffer, 4096, 0) == -1 && errno == EIO);
	close(fd);
	device_delete_served(&device);
	free(buffer);
	STEP("read-only: ok");
}

/* A full backing is an error of that write; the server goes on, and so do writes when there is
 * room. */
static void no_space(void)
{
	char *buffer = alloc_buffer(64 << 10);
	struct device device;
	off_t offset = 0;
	int fd, failed;

	shell("mkdir -p /tmp/small && mount -t tmpfs -o size=1000k small /tmp/small");
	make_file("/tmp/small/img", 8 * MIB);
	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/small/img");
	fd = block_open(&device, O_RDWR | O_DIRECT);
	fill_pattern(buffer, 64 << 10, 0, 3);
	while (pwrite(fd, buffer, 64 << 10, offset) == 64 << 10)
		offset += 64 << 10;
	failed = errno;
	CHECK_EQ(failed, ENOSPC);
	CHECK(offset >= MIB / 2 && offset < MIB);
	/* The last write fitted in part, which is no success; all before it are there. */
	for (off_t check = 0; check < offset; check += 64 << 10) {
		read_all(fd, buffer, 64 << 10, check);
		CHECK(check_pattern(buffer, 64 << 10, 0, 3));
	}
	shell("mount -o remount,size=2m /tmp/small");
	write_all(fd, buffer, 64 << 10, offset);
	/* A full file system is no lost data: flushes go on. */
	CHECK(fsync(fd) == 0);
	close(fd);
	device_delete_served(&device);
	shell("umount /tmp/small || { sleep 1; umount /tmp/small; }");
	free(buffer);
	STEP("no space: ok");
}

/*
 * The file is made shorter under the device: what is gone is an error to every reader and writer,
 * never zeroes, and not at the next flush either; what is left works on, and nobody dies.
 */
static void truncated_backing(const char *mode)
{
	char *buffer = alloc_buffer(128 << 10);
	struct device device;
	struct stat st;
	int fd;

	make_file("/tmp/img", MIB);
	/* One request at a time: its buffer holds the last one's data. */
	device_add(&device, (struct device_wish){ .depth = 1 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img", mode);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	write_pattern(fd, 0, MIB, 4);
	CHECK(fsync(fd) == 0);
	CHECK(truncate("/tmp/img", 512 << 10) == 0);
	/* Across the new end, and behind it. */
	CHECK(pread(fd, buffer, 128 << 10, (512 << 10) - (64 << 10)) == -1 && errno == EIO);
	CHECK(pread(fd, buffer, 4096, MIB - 4096) == -1 && errno == EIO);
	read_all(fd, buffer, 64 << 10, (512 << 10) - (64 << 10));
	CHECK(check_pattern(buffer, 64 << 10, (512 << 10) - (64 << 10), 4));
	/* In the middle of a block. */
	CHECK(truncate("/tmp/img", (256 << 10) + 100) == 0);
	CHECK(pread(fd, buffer, 512, 256 << 10) == -1 && errno == EIO);
	CHECK(pread(fd, buffer, 4096, 256 << 10) == -1 && errno == EIO);
	/* Whatever would make it longer again would turn what is gone into zeroes. */
	CHECK(pwrite(fd, buffer, 4096, MIB - 4096) == -1 && errno == EIO);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 512 << 10, 4096) == -1);
	CHECK_EQ(errno, EIO);
	CHECK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 512 << 10, 4096) == -1);
	CHECK_EQ(errno, EIO);
	CHECK(stat("/tmp/img", &st) == 0 && st.st_size == (256 << 10) + 100);
	write_pattern(fd, 0, 128 << 10, 5);
	/* Acknowledged data is gone: it says so, also when somebody made the file longer again. */
	CHECK(fsync(fd) == -1 && errno == EIO);
	CHECK(truncate("/tmp/img", MIB) == 0);
	CHECK(fsync(fd) == -1 && errno == EIO);
	close(fd);
	device_delete(&device);
	unlink("/tmp/img");
	free(buffer);
	STEP("truncated backing, %s: ok", mode);
}

/* Sectors 1000 to 1007 are bad. */
static const char *make_bad_disk(const char *block_size)
{
	return null_disk_create((const struct null_disk_attribute[]){
		{ "blocksize", block_size }, { "badblocks", "+1000-1007" }, { 0 } });
}

static void errors_of_the_disk(const char *mode)
{
	char *buffer = alloc_buffer(4096);
	const char *disk = make_bad_disk("512");
	struct device device;
	int fd;

	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "loop", "-f", disk, mode);
	CHECK(device.limits.size == 8 * MIB);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	write_pattern(fd, 0, 64 << 10, 1);
	CHECK(fsync(fd) == 0);
	CHECK(pread(fd, buffer, 4096, 1000 * 512) == -1 && errno == EIO);
	if (strcmp(mode, "--direct") == 0) {
		CHECK(pwrite(fd, buffer, 4096, 1000 * 512) == -1 && errno == EIO);
		CHECK(fsync(fd) == 0);
	} else {
		/*
		 * The page cache takes the write, the disk does not: the next flush fails, and so
		 * does every later one. A second success would say that the write is there.
		 */
		write_all(fd, buffer, 4096, 1000 * 512);
		CHECK(fsync(fd) == -1 && errno == EIO);
		CHECK(fsync(fd) == -1 && errno == EIO);
	}
	read_all(fd, buffer, 4096, 8192);
	CHECK(check_pattern(buffer, 4096, 8192, 1));
	close(fd);
	if (strcmp(mode, "--direct") == 0)
		device_delete_served(&device);
	else
		device_delete(&device);
	null_disk_remove();
	free(buffer);
	STEP("errors of the disk, %s: ok", mode);
}

/* A disk of 4096-byte sectors makes a device of 4096-byte sectors, and cannot make one of 512. */
static void large_sectors(void)
{
	struct device device;
	const char *disk = make_bad_disk("4096");
	int fd, size = 0;

	device_add(&device, (struct device_wish){ 0 });
	SERVER_RUN(&device, "-t", "loop", "-f", disk, "--logical-block-size", "512");
	CHECK(!server_read_report(&device));
	CHECK(strstr(device.text, "smaller than the 4096"));
	CHECK_EQ(server_wait(&device), 1);

	DEVICE_SERVE(&device, "-t", "loop", "-f", disk);
	CHECK(device.limits.logical_block_size == 4096);
	fd = block_open(&device, O_RDWR | O_DIRECT);
	CHECK(ioctl(fd, BLKSSZGET, &size) == 0 && size == 4096);
	write_pattern(fd, 0, 64 << 10, 2);
	CHECK(fsync(fd) == 0);
	close(fd);

	/* Claimed: nobody else may write to it. */
	CHECK(open(disk, O_RDWR | O_EXCL) == -1 && errno == EBUSY);
	device_delete_served(&device);
	null_disk_remove();
	STEP("large sectors: ok");
}

static void second_device_on_one_file(void)
{
	struct device first, second;

	make_file("/tmp/img", MIB);
	device_add(&first, (struct device_wish){ 0 });
	DEVICE_SERVE(&first, "-t", "loop", "-f", "/tmp/img");
	device_add(&second, (struct device_wish){ 0 });
	SERVER_RUN(&second, "-t", "loop", "-f", "/tmp/img");
	CHECK(!server_read_report(&second));
	CHECK(strstr(second.text, "ERRNO=16\n") && strstr(second.text, "in use"));
	CHECK_EQ(server_wait(&second), 1);

	/* As soon as the first is dead, however it died. */
	server_signal(&first, SIGKILL);
	CHECK_EQ(server_wait(&first), 128 + SIGKILL);
	SERVER_RUN(&second, "-t", "loop", "-f", "/tmp/img");
	CHECK(server_read_report(&second));
	device_delete(&first);
	device_delete_served(&second);
	unlink("/tmp/img");
	STEP("a second device on one file: ok");
}

/* The device cannot be its own backing. */
static void device_on_itself(void)
{
	struct device device;
	char *path;

	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "null");
	path = strdup(device.block);
	SERVER_RUN(&device, "-t", "loop", "-f", path);
	CHECK(!server_read_report(&device));
	CHECK(strstr(device.text, "ERRNO=40\n"));
	CHECK_EQ(server_wait(&device), 1);
	device_delete(&device);
	free(path);
	STEP("a device on itself: ok");
}

int main(void)
{
	zeroes_over_tmpfs();
	zeroes_over_block_device();
	zeroes_over_file_system();
	file_system_without_holes();
	flushes_reach_the_disk("--buffered");
	flushes_reach_the_disk("--direct");
	read_only();
	no_space();
	truncated_backing("--buffered");
	truncated_backing("--direct");
	errors_of_the_disk("--direct");
	errors_of_the_disk("--buffered");
	large_sectors();
	second_device_on_one_file();
	device_on_itself();
	return 0;
}
