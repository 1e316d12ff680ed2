/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data-plane queue against the driver, without ublk-server in between: this process adds the
 * device, and one of its threads serves it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver-util.h"
#include "ublk-abi.h"
#include "ublk-node.h"
#include "ublk-queue.h"

#define DEPTH    64
#define DEV_SIZE (1U << 20)
#define BUF_SIZE (64U << 10)

/* The test's server: a disk in memory, and what it has seen. */
struct disk {
	struct ublksrv_ctrl_dev_info info;
	int char_fd;
	unsigned int ring_entries;
	unsigned char *data;
	pthread_barrier_t fetched;
	int fetch_result;
	unsigned int requests, without_data;
	/* What a write's buffer held before its data was asked for. */
	unsigned char before_data;
	int fail_reads;      /* negative errno */
	int32_t short_reads; /* bytes; 0: all of it */
};

static int32_t serve_request(struct disk *disk, struct ublk_queue *queue, uint16_t tag)
{
	const struct ublksrv_io_desc *desc = ublk_queue_get_desc(queue, tag);
	unsigned char *buffer = ublk_queue_get_buffer(queue, tag);
	unsigned char *at = disk->data + (desc->start_sector << 9);
	int32_t len = (int32_t)(desc->nr_sectors << 9);

	CHECK(desc->addr == (uintptr_t)buffer || (disk->info.flags & UBLK_F_NEED_GET_DATA));
	disk->requests++;
	switch (ublksrv_get_op(desc)) {
	case UBLK_IO_OP_READ:
		if (disk->fail_reads)
			return disk->fail_reads;
		if (disk->short_reads && disk->short_reads < len)
			len = disk->short_reads;
		memcpy(buffer, at, (size_t)len);
		return len;
	case UBLK_IO_OP_WRITE:
		memcpy(at, buffer, (size_t)len);
		return len;
	default:
		return -EOPNOTSUPP;
	}
}

/* Until the device is stopped. */
static void serve(struct disk *disk, struct io_uring *ring, struct ublk_queue *queue)
{
	struct io_uring_cqe *cqe;
	uint16_t tag;
	int event;

	while (queue->fetching > 0) {
		CHECK(io_uring_submit_and_wait(ring, 1) >= 0);
		while (io_uring_peek_cqe(ring, &cqe) == 0) {
			CHECK(cqe->user_data & UBLK_QUEUE_USER_DATA);
			event = CHECK_OK(ublk_queue_handle_cqe(queue, cqe, &tag));
			io_uring_cqe_seen(ring, cqe);
			if (event == UBLK_QUEUE_WANTS_DATA) {
				unsigned char *buffer = ublk_queue_get_buffer(queue, tag);

				disk->without_data++;
				disk->before_data = buffer[0];
				/* Not a request yet: it cannot be committed. */
				CHECK_EQ(ublk_queue_commit(queue, tag, 512), -EPROTO);
				CHECK_OK(ublk_queue_get_data(queue, tag));
				CHECK_EQ(ublk_queue_get_data(queue, tag), -EPROTO);
			} else if (event == UBLK_QUEUE_REQUEST) {
				CHECK_OK(ublk_queue_commit(queue, tag,
							   serve_request(disk, queue, tag)));
				/* Once only. */
				CHECK_EQ(ublk_queue_commit(queue, tag, 0), -EPROTO);
			}
			if (io_uring_sq_space_left(ring) == 0)
				io_uring_submit(ring);
		}
	}
}

static void *serve_thread(void *arg)
{
	struct disk *disk = arg;
	struct ublk_queue queue;
	struct io_uring ring;

	CHECK_OK(io_uring_queue_init(disk->ring_entries, &ring,
				     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN));
	CHECK_OK(ublk_queue_init(&queue, &ring, disk->char_fd, 0, DEPTH, BUF_SIZE,
				 disk->info.flags));
	disk->fetch_result = ublk_queue_fetch_all(&queue);
	pthread_barrier_wait(&disk->fetched);
	if (disk->fetch_result == 0)
		serve(disk, &ring, &queue);
	io_uring_queue_exit(&ring);
	ublk_queue_exit(&queue);
	return NULL;
}

static pthread_t start_disk(struct ublk_control *ctl, struct disk *disk, uint64_t flags,
			    unsigned int ring_entries)
{
	char path[UBLK_NODE_PATH_MAX];
	pthread_t thread;

	*disk = (struct disk){ .ring_entries = ring_entries };
	disk->data = calloc(1, DEV_SIZE);
	/* Requests are counted: nobody else's shall be among them. */
	disk->info = util_add_dev(ctl, 1, DEPTH, flags | UBLK_F_NO_AUTO_PART_SCAN, DEV_SIZE);
	disk->char_fd =
		open(ublk_node_path(UBLK_NODE_CHAR, disk->info.dev_id, path), O_RDWR | O_CLOEXEC);
	CHECK(disk->char_fd >= 0);
	pthread_barrier_init(&disk->fetched, NULL, 2);
	CHECK(pthread_create(&thread, NULL, serve_thread, disk) == 0);
	pthread_barrier_wait(&disk->fetched);
	CHECK_OK(disk->fetch_result);
	CHECK_OK(ublk_control_start_dev(ctl, disk->info.dev_id, getpid(), 10000));
	return thread;
}

static void end_disk(struct ublk_control *ctl, struct disk *disk, pthread_t thread)
{
	/* The fetches come back, so the thread leaves by itself. */
	CHECK_OK(ublk_control_stop_dev(ctl, disk->info.dev_id));
	pthread_join(thread, NULL);
	close(disk->char_fd);
	CHECK_OK(ublk_control_del_dev(ctl, disk->info.dev_id, 10000));
	pthread_barrier_destroy(&disk->fetched);
	free(disk->data);
}

static int open_block(const struct disk *disk)
{
	char path[UBLK_NODE_PATH_MAX];
	int fd = open(ublk_node_path(UBLK_NODE_BLOCK, disk->info.dev_id, path), O_RDWR | O_DIRECT);

	CHECK(fd >= 0);
	return fd;
}

/* A ring of 4 entries for 64 tags: the first fetches are submitted in turns. */
static void copies_data(struct ublk_control *ctl, uint64_t flags, unsigned int ring_entries)
{
	unsigned char *buffer;
	struct disk disk;
	pthread_t thread;
	int fd;

	buffer = aligned_alloc(4096, BUF_SIZE);
	CHECK(buffer);
	thread = start_disk(ctl, &disk, flags, ring_entries);
	fd = open_block(&disk);
	for (unsigned int i = 0; i < 200; i++) {
		off_t offset = (off_t)(i * 7 % 15) * BUF_SIZE;

		memset(buffer, (int)(i % 255) + 1, BUF_SIZE);
		CHECK(pwrite(fd, buffer, BUF_SIZE, offset) == BUF_SIZE);
		CHECK(disk.data[offset] == i % 255 + 1);
		CHECK(disk.data[offset + BUF_SIZE - 1] == i % 255 + 1);
		memset(buffer, 0, BUF_SIZE);
		CHECK(pread(fd, buffer, BUF_SIZE, offset) == BUF_SIZE);
		CHECK(memcmp(buffer, disk.data + offset, BUF_SIZE) == 0);
	}
	CHECK(disk.requests >= 400);
	if (flags & UBLK_F_NEED_GET_DATA)
		CHECK(disk.without_data >= 200);
	else
		CHECK_EQ(disk.without_data, 0);
	close(fd);
	end_disk(ctl, &disk, thread);
	free(buffer);
	STEP("data goes both ways, flags %llx, ring of %u: ok", (unsigned long long)flags,
	     ring_entries);
}

/* With NEED_GET_DATA nothing is copied before it is asked for. */
static void data_comes_when_asked_for(struct ublk_control *ctl)
{
	unsigned char *buffer;
	struct disk disk;
	pthread_t thread;
	int fd;

	buffer = aligned_alloc(4096, 4096);
	CHECK(buffer);
	memset(buffer, 0xa5, 4096);
	thread = start_disk(ctl, &disk, UBLK_F_NEED_GET_DATA, DEPTH);
	fd = open_block(&disk);
	/* Each tag's buffer is new, so its first bytes are 0 until the data comes. */
	CHECK(pwrite(fd, buffer, 4096, 0) == 4096);
	CHECK_EQ(disk.without_data, 1);
	CHECK_EQ(disk.before_data, 0);
	CHECK_EQ(disk.data[0], 0xa5);
	close(fd);
	end_disk(ctl, &disk, thread);
	free(buffer);
	STEP("data comes when it is asked for: ok");
}

static void results_reach_the_reader(struct ublk_control *ctl)
{
	static const struct {
		int result, seen;
	} errors[] = { { -EIO, EIO }, { -ENOSPC, ENOSPC }, { -EOPNOTSUPP, EOPNOTSUPP } };
	unsigned char *buffer;
	struct disk disk;
	pthread_t thread;
	int fd;

	buffer = aligned_alloc(4096, BUF_SIZE);
	CHECK(buffer);
	thread = start_disk(ctl, &disk, 0, DEPTH);
	fd = open_block(&disk);
	for (unsigned int i = 0; i < 3; i++) {
		disk.fail_reads = errors[i].result;
		CHECK(pread(fd, buffer, 4096, 0) == -1);
		CHECK_EQ(errno, errors[i].seen);
	}
	disk.fail_reads = 0;

	/* What a server reads too little of, the driver asks for again. */
	memset(disk.data, 0x5a, BUF_SIZE);
	disk.short_reads = 512;
	disk.requests = 0;
	CHECK(pread(fd, buffer, 8192, 0) == 8192);
	CHECK(buffer[0] == 0x5a && buffer[8191] == 0x5a);
	CHECK_EQ(disk.requests, 16);
	close(fd);
	end_disk(ctl, &disk, thread);
	free(buffer);
	STEP("results reach the reader: ok");
}

/* What the driver refuses comes back as an error, and nothing is leaked or left half done. */
static void refusals(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 2, DEPTH, 0, DEV_SIZE);
	char path[UBLK_NODE_PATH_MAX];
	struct ublk_queue queue, same;
	struct io_uring ring;
	int fd = open(ublk_node_path(UBLK_NODE_CHAR, info.dev_id, path), O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	/* One opener at a time. */
	CHECK(open(path, O_RDWR) == -1);
	CHECK_EQ(errno, EBUSY);
	CHECK_OK(io_uring_queue_init(4 * DEPTH, &ring, 0));
	CHECK_EQ(ublk_queue_init(&queue, &ring, fd, 0, 4000, BUF_SIZE, info.flags), -EINVAL);
	CHECK_EQ(ublk_queue_init(&queue, &ring, fd, 2, DEPTH, BUF_SIZE, info.flags), -EINVAL);
	CHECK_EQ(ublk_queue_init(&queue, &ring, fd, 0, 0, BUF_SIZE, info.flags), -EINVAL);
	CHECK_EQ(ublk_queue_init(&queue, &ring, 0, 0, DEPTH, BUF_SIZE, info.flags) < 0, 1);

	/* A queue can be fetched from once only. */
	CHECK_OK(ublk_queue_init(&queue, &ring, fd, 0, DEPTH, BUF_SIZE, info.flags));
	CHECK_OK(ublk_queue_init(&same, &ring, fd, 0, DEPTH, BUF_SIZE, info.flags));
	CHECK_OK(ublk_queue_fetch_all(&queue));
	CHECK(ublk_queue_fetch_all(&same) < 0);
	ublk_queue_exit(&same);
	io_uring_queue_exit(&ring);
	ublk_queue_exit(&queue);
	ublk_queue_exit(&queue);
	close(fd);
	CHECK_OK(ublk_control_del_dev(ctl, info.dev_id, 10000));
	STEP("refusals: ok");
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();

	copies_data(ctl, 0, DEPTH);
	copies_data(ctl, 0, 4);
	copies_data(ctl, UBLK_F_NEED_GET_DATA, DEPTH);
	data_comes_when_asked_for(ctl);
	results_reach_the_reader(ctl);
	refusals(ctl);
	ublk_control_close(ctl);
	return 0;
}
