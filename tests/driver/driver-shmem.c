/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * UBLK_F_SHMEM_ZC against the real driver, with nothing of ours in between: which requests it hands
 * out without copying their data (seen in the descriptor's flag, and in a buffer that nobody
 * wrote), what REG_BUF takes and refuses, whose memory it pins and for how long, what becomes of it
 * when a server dies. docs/shared-memory.md rests on this.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "driver-util.h"
#include "ublk-creds.h"
#include "ublk-node.h"
#include "uring-compat.h"

#define PAGE     4096U
#define DEPTH    8
#define DEV_SIZE (1U << 20)
#define BUF_SIZE (64U << 10) /* what util_dev_info() asks for: the largest request */
#define CANARY   0x5c

static struct ublk_control *ctl;
static int alice;

/* -------------------------------------------------------------------------------------------------
 * A server in a thread: a disk in memory, and a note of what each request looked like
 */

struct seen {
	uint8_t op;
	uint32_t flags, length;
	uint64_t addr;
	bool tag_buffer_touched; /* the driver has copied something into the tag's own buffer */
};

struct disk {
	struct ublksrv_ctrl_dev_info info;
	pthread_t thread;
	pthread_barrier_t fetched;
	int char_fd;
	struct io_uring ring;
	const struct ublksrv_io_desc *descs;
	uint8_t *buffers; /* one of BUF_SIZE for each tag */
	uint8_t *left;    /* what the server left there: CANARY, or what a read was answered with */
	uint8_t *data;
	/* The server's mappings of what is registered, by index. */
	uint8_t *maps[8];
	struct seen last; /* the last read or write */
	atomic_uint served;
};

static void prep(struct disk *disk, uint16_t tag, uint32_t op, int result)
{
	struct ublksrv_io_cmd cmd = {
		.tag = tag,
		.result = result,
		.addr = (uintptr_t)(disk->buffers + (size_t)tag * BUF_SIZE),
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&disk->ring);

	CHECK(sqe != NULL);
	uring_prep_cmd(sqe, sizeof(*sqe), disk->char_fd, op);
	memcpy(uring_cmd_data(sqe), &cmd, sizeof(cmd));
	sqe->user_data = tag;
}

static int handle(struct disk *disk, uint16_t tag)
{
	const struct ublksrv_io_desc *desc = &disk->descs[tag];
	uint8_t *buffer = disk->buffers + (size_t)tag * BUF_SIZE;
	const uint8_t *left = disk->left + (size_t)tag * BUF_SIZE;
	uint8_t *at = disk->data + (desc->start_sector << 9);
	uint32_t length = desc->nr_sectors << 9;
	uint8_t op = ublksrv_get_op(desc);

	if (op != UBLK_IO_OP_READ && op != UBLK_IO_OP_WRITE)
		return -EOPNOTSUPP;
	disk->last = (struct seen){
		.op = op,
		.flags = ublk_desc_flags(desc),
		.length = length,
		.addr = desc->addr,
	};
	disk->last.tag_buffer_touched = memcmp(buffer, left, length) != 0;
	atomic_fetch_add(&disk->served, 1);
	if (disk->last.flags & UBLK_IO_F_SHMEM_ZC) {
		uint16_t index = ublk_shmem_zc_index(desc->addr);

		if (index >= 8 || !disk->maps[index])
			return -EIO;
		buffer = disk->maps[index] + ublk_shmem_zc_offset(desc->addr);
	}
	if (op == UBLK_IO_OP_READ)
		memcpy(buffer, at, length);
	else
		memcpy(at, buffer, length);
	return (int)length;
}

/*
 * What is in the tag's buffer when it goes back to the driver. A read that was not shared is copied
 * from there, so what it was answered with stays, for whatever comes next on that tag.
 */
static void leave(struct disk *disk, uint16_t tag, int res)
{
	uint8_t *left = disk->left + (size_t)tag * BUF_SIZE;

	memset(left, CANARY, BUF_SIZE);
	if (disk->last.op == UBLK_IO_OP_READ && res > 0 && !(disk->last.flags & UBLK_IO_F_SHMEM_ZC))
		memcpy(left, disk->data + (disk->descs[tag].start_sector << 9), (size_t)res);
	memcpy(disk->buffers + (size_t)tag * BUF_SIZE, left, BUF_SIZE);
}

static void *serve(void *arg)
{
	struct disk *disk = arg;
	unsigned int left = DEPTH;

	CHECK_OK(io_uring_queue_init(2 * DEPTH, &disk->ring, 0));
	for (uint16_t tag = 0; tag < DEPTH; tag++)
		prep(disk, tag, UBLK_U_IO_FETCH_REQ, 0);
	CHECK_EQ(io_uring_submit(&disk->ring), DEPTH);
	pthread_barrier_wait(&disk->fetched);
	while (left > 0) {
		struct io_uring_cqe *cqe;
		uint16_t tag;
		int res;

		CHECK_OK(io_uring_submit_and_wait(&disk->ring, 1));
		while (io_uring_peek_cqe(&disk->ring, &cqe) == 0) {
			tag = (uint16_t)cqe->user_data;
			res = cqe->res;
			io_uring_cqe_seen(&disk->ring, cqe);
			if (res == UBLK_IO_RES_ABORT) {
				left--;
			} else if (res == UBLK_IO_RES_NEED_GET_DATA) {
				prep(disk, tag, UBLK_U_IO_NEED_GET_DATA, 0);
			} else {
				CHECK_EQ(res, UBLK_IO_RES_OK);
				res = handle(disk, tag);
				leave(disk, tag, res);
				prep(disk, tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ, res);
			}
		}
	}
	io_uring_queue_exit(&disk->ring);
	return NULL;
}

/*
 * A device of alice's; its server runs here. It sees only what the tests ask for: the server is
 * root, so the driver would look for partitions too, from 7.0 on at a time of its own.
 */
static void start_disk(struct disk *disk, uint64_t flags)
{
	char path[UBLK_NODE_PATH_MAX];

	flags |= UBLK_F_NO_AUTO_PART_SCAN;
	*disk = (struct disk){ 0 };
	disk->info = util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, DEPTH, flags, DEV_SIZE);
	CHECK_EQ(disk->info.flags & flags, flags);
	CHECK(disk->info.flags & UBLK_F_UNPRIVILEGED_DEV);
	disk->char_fd =
		open(ublk_node_path(UBLK_NODE_CHAR, disk->info.dev_id, path), O_RDWR | O_CLOEXEC);
	CHECK(disk->char_fd >= 0);
	disk->descs = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, disk->char_fd, 0);
	CHECK(disk->descs != MAP_FAILED);
	disk->buffers = aligned_alloc(PAGE, DEPTH * BUF_SIZE);
	disk->left = malloc(DEPTH * BUF_SIZE);
	disk->data = calloc(1, DEV_SIZE);
	CHECK(disk->buffers && disk->left && disk->data);
	memset(disk->buffers, CANARY, DEPTH * BUF_SIZE);
	memset(disk->left, CANARY, DEPTH * BUF_SIZE);
	pthread_barrier_init(&disk->fetched, NULL, 2);
	CHECK(pthread_create(&disk->thread, NULL, serve, disk) == 0);
	pthread_barrier_wait(&disk->fetched);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_START_DEV, disk->info.dev_id,
			     (uint64_t)getpid(), NULL, 0));
}

static void end_disk(struct disk *disk)
{
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_STOP_DEV, disk->info.dev_id, 0, NULL, 0));
	pthread_join(disk->thread, NULL);
	munmap((void *)disk->descs, PAGE);
	close(disk->char_fd);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_DEL_DEV, disk->info.dev_id, 0, NULL, 0));
	pthread_barrier_destroy(&disk->fetched);
	free(disk->buffers);
	free(disk->left);
	free(disk->data);
}

static int open_block(uint32_t dev_id)
{
	char path[UBLK_NODE_PATH_MAX];
	int fd = open(ublk_node_path(UBLK_NODE_BLOCK, dev_id, path), O_RDWR | O_DIRECT | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

/* -------------------------------------------------------------------------------------------------
 * Memory to share
 */

static int make_memfd(size_t size, unsigned int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	CHECK(fallocate(fd, 0, 0, (off_t)size) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static uint8_t *map(int fd, size_t size, int prot)
{
	void *at = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	CHECK(at != MAP_FAILED);
	return at;
}

static int reg_raw(int personality, uint32_t dev_id, uint64_t addr, uint64_t len, uint32_t flags,
		   uint32_t reserved)
{
	struct ublk_shmem_buf_reg reg = {
		.addr = addr,
		.len = len,
		.flags = flags,
		.reserved = reserved,
	};

	return util_run_as(ctl, personality, UBLK_U_CMD_REG_BUF, dev_id, 0, &reg, sizeof(reg));
}

/*
 * As a broker does it: map, register, unmap. The memory is of no other use to this process, so what
 * the driver finds there it has found through the process that issued the command, although that
 * carries alice's credentials.
 */
static int reg_memfd(const struct disk *disk, int fd, size_t size, uint32_t flags)
{
	uint8_t *at = map(fd, size,
			  flags & UBLK_SHMEM_BUF_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE);
	int ret = reg_raw(alice, disk->info.dev_id, (uintptr_t)at, size, flags, 0);

	munmap(at, size);
	return ret;
}

static int unreg(int personality, uint32_t dev_id, uint64_t index)
{
	return util_run_as(ctl, personality, UBLK_U_CMD_UNREG_BUF, dev_id, index, NULL, 0);
}

static long vmstat(const char *name)
{
	char line[128], key[64];
	FILE *file = fopen("/proc/vmstat", "re");
	long value = -1, number;

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %ld", key, &number) == 2 && strcmp(key, name) == 0)
			value = number;
	fclose(file);
	return value;
}

/* Pages that are pinned at the moment; only differences mean something. */
static long pinned(void)
{
	/* Each processor keeps a small difference of its own, until it is asked for it. */
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && write(fd, "1", 1) == 1);
	close(fd);
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

static long own_status(const char *key)
{
	char line[128];
	FILE *file = fopen("/proc/self/status", "re");
	long value = -1;
	size_t len = strlen(key);

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, key, len) == 0)
			value = atol(line + len + 1);
	fclose(file);
	return value;
}

/* -------------------------------------------------------------------------------------------------
 * The tests
 */

static void before_7_1(void)
{
	struct ublksrv_ctrl_dev_info info =
		util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, 1, UBLK_F_SHMEM_ZC, DEV_SIZE);

	STEP("a driver without it drops the flag, and has no such command");
	CHECK(!(info.flags & UBLK_F_SHMEM_ZC));
	CHECK_EQ(reg_raw(alice, info.dev_id, 0, PAGE, 0, 0), -EOPNOTSUPP);
	CHECK_EQ(unreg(alice, info.dev_id, 0), -EOPNOTSUPP);
	util_del_dev(ctl, info.dev_id);
}

/* The last request, as the server saw it. */
#define EXPECT_SHARED(disk, index, offset)                                      \
	do {                                                                    \
		CHECK((disk)->last.flags &UBLK_IO_F_SHMEM_ZC);                  \
		CHECK_EQ((disk)->last.addr, ublk_shmem_zc_addr(index, offset)); \
		CHECK(!(disk)->last.tag_buffer_touched);                        \
	} while (0)

#define EXPECT_COPIED(disk)                                        \
	do {                                                       \
		CHECK(!((disk)->last.flags & UBLK_IO_F_SHMEM_ZC)); \
		if ((disk)->last.op == UBLK_IO_OP_WRITE)           \
			CHECK((disk)->last.tag_buffer_touched);    \
	} while (0)

static void test_no_copy(void)
{
	const size_t size = 16 * PAGE;
	int fd = make_memfd(size, SEALS), other = make_memfd(size, SEALS), block, index;
	uint8_t *shared = map(fd, size, PROT_READ | PROT_WRITE);
	uint8_t *second = map(other, size, PROT_READ | PROT_WRITE);
	uint8_t *own = aligned_alloc(PAGE, size);
	struct iovec vec[2];
	struct disk disk;
	long before = pinned();

	start_disk(&disk, UBLK_F_SHMEM_ZC);
	block = open_block(disk.info.dev_id);
	memset(shared, 0x11, size);
	CHECK(pwrite(block, shared, size, 0) == (ssize_t)size);
	EXPECT_COPIED(&disk);

	STEP("the issuing process's memory is registered, whatever credentials the command has");
	index = reg_memfd(&disk, fd, size, 0);
	CHECK_EQ(index, 0);
	disk.maps[0] = map(fd, size, PROT_READ | PROT_WRITE);
	CHECK_EQ(pinned() - before, size / PAGE);

	STEP("a write from it has the flag, index and offset, and is not copied");
	for (size_t i = 0; i < size; i++)
		shared[i] = (uint8_t)(i / PAGE + 1);
	CHECK(pwrite(block, shared, size, 0) == (ssize_t)size);
	EXPECT_SHARED(&disk, 0, 0);
	CHECK_EQ(disk.last.length, size);
	CHECK(memcmp(disk.data, shared, size) == 0);

	STEP("the offset is in bytes, down to 4 of them");
	CHECK(pwrite(block, shared + 3 * PAGE + 516, 512, 512) == 512);
	EXPECT_SHARED(&disk, 0, 3 * PAGE + 516);
	CHECK(disk.data[512] == 4);

	STEP("a read into it is the server's own write to the memory");
	memset(disk.data + 8 * PAGE, 0xab, PAGE);
	CHECK(pread(block, shared + 2 * PAGE, PAGE, 8 * PAGE) == PAGE);
	EXPECT_SHARED(&disk, 0, 2 * PAGE);
	CHECK(shared[2 * PAGE] == 0xab && shared[3 * PAGE - 1] == 0xab);

	STEP("what a server that says success does not fill stays as it was: no kernel memory");
	memset(shared, 0x77, PAGE);
	disk.maps[0] = map(other, size, PROT_READ | PROT_WRITE); /* it reads to elsewhere */
	CHECK(pread(block, shared, PAGE, 0) == PAGE);
	CHECK(shared[0] == 0x77 && shared[PAGE - 1] == 0x77);
	disk.maps[0] = map(fd, size, PROT_READ | PROT_WRITE);

	STEP("other memory is copied as before, both ways");
	memset(own, 0xc3, size);
	CHECK(pwrite(block, own, size, 0) == (ssize_t)size);
	EXPECT_COPIED(&disk);
	CHECK(disk.data[0] == 0xc3 && disk.data[size - 1] == 0xc3);
	memset(own, 0, size);
	CHECK(pread(block, own, size, 0) == (ssize_t)size);
	EXPECT_COPIED(&disk);
	CHECK(own[0] == 0xc3 && own[size - 1] == 0xc3);

	STEP("all of a request or nothing: one foreign page, another order, and it is copied");
	vec[0] = (struct iovec){ shared, PAGE };
	vec[1] = (struct iovec){ own, PAGE };
	CHECK(pwritev(block, vec, 2, 0) == 2 * PAGE);
	EXPECT_COPIED(&disk);
	vec[0] = (struct iovec){ shared + PAGE, PAGE };
	vec[1] = (struct iovec){ shared, PAGE };
	CHECK(pwritev(block, vec, 2, 0) == 2 * PAGE);
	EXPECT_COPIED(&disk);
	vec[0] = (struct iovec){ shared, PAGE };
	vec[1] = (struct iovec){ shared + PAGE, PAGE };
	CHECK(pwritev(block, vec, 2, 0) == 2 * PAGE);
	EXPECT_SHARED(&disk, 0, 0);

	STEP("a second buffer has the next index; a request over both is copied");
	CHECK_EQ(reg_memfd(&disk, other, size, 0), 1);
	disk.maps[1] = map(other, size, PROT_READ | PROT_WRITE);
	CHECK(pwrite(block, second + PAGE, PAGE, 0) == PAGE);
	EXPECT_SHARED(&disk, 1, PAGE);
	vec[0] = (struct iovec){ shared + size - PAGE, PAGE };
	vec[1] = (struct iovec){ second, PAGE };
	CHECK(pwritev(block, vec, 2, 0) == 2 * PAGE);
	EXPECT_COPIED(&disk);

	STEP("the lowest free index is the next one's: a broker can know it beforehand");
	CHECK_OK(unreg(alice, disk.info.dev_id, 0));
	CHECK(pwrite(block, shared, PAGE, 0) == PAGE);
	EXPECT_COPIED(&disk);
	CHECK_EQ(pinned() - before, size / PAGE);
	CHECK_EQ(reg_memfd(&disk, fd, size, 0), 0);
	CHECK_EQ(unreg(alice, disk.info.dev_id, 1), 0);

	STEP("what was punched out of a registered memfd is copied, in new pages");
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) == 0);
	memset(shared, 0x3c, PAGE);
	CHECK(pwrite(block, shared, PAGE, 0) == PAGE);
	EXPECT_COPIED(&disk);
	CHECK(disk.data[0] == 0x3c);

	STEP("what the device still has registered is let go with it");
	CHECK_EQ(pinned() - before, size / PAGE);
	close(block);
	end_disk(&disk);
	CHECK_EQ(pinned(), before);
	close(fd);
	close(other);
	free(own);
}

static void test_read_only(void)
{
	const size_t size = 4 * PAGE;
	int fd = make_memfd(size, 0), block;
	uint8_t *shared = map(fd, size, PROT_READ | PROT_WRITE);
	struct disk disk;

	start_disk(&disk, UBLK_F_SHMEM_ZC);
	block = open_block(disk.info.dev_id);
	memset(shared, 0x42, size);

	STEP("a read-only buffer: writes are not copied, reads are");
	CHECK(fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_FUTURE_WRITE) == 0);
	CHECK(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK_EQ(reg_memfd(&disk, fd, size, UBLK_SHMEM_BUF_READ_ONLY), 0);
	disk.maps[0] = map(fd, size, PROT_READ);
	CHECK(pwrite(block, shared, size, 0) == (ssize_t)size);
	EXPECT_SHARED(&disk, 0, 0);
	CHECK(pread(block, shared, size, 0) == (ssize_t)size);
	EXPECT_COPIED(&disk);
	CHECK(shared[0] == 0x42);
	close(block);
	end_disk(&disk);
	close(fd);
}

static void test_refusals(int bob)
{
	const size_t size = 4 * PAGE;
	int fd = make_memfd(size, SEALS);
	uint8_t *shared = map(fd, size, PROT_READ | PROT_WRITE);
	uint8_t *view = map(fd, size, PROT_READ);
	const struct rlimit none = { 0, 0 };
	struct rlimit usual;
	struct disk disk;
	uint64_t at = (uintptr_t)shared;
	uint32_t id;
	long before;

	start_disk(&disk, 0);
	STEP("a device without the flag has no buffers");
	CHECK_EQ(reg_raw(alice, disk.info.dev_id, at, size, 0, 0), -EOPNOTSUPP);
	CHECK_EQ(unreg(alice, disk.info.dev_id, 0), -EOPNOTSUPP);
	end_disk(&disk);

	start_disk(&disk, UBLK_F_SHMEM_ZC);
	id = disk.info.dev_id;
	before = pinned();
	STEP("only its owner may");
	CHECK_EQ(reg_raw(bob, id, at, size, 0, 0), -EACCES);
	CHECK_EQ(unreg(bob, id, 0), -EACCES);

	STEP("lengths, addresses and flags that make no sense are refused");
	CHECK_EQ(reg_raw(alice, id, at, 0, 0, 0), -EINVAL);
	CHECK_EQ(reg_raw(alice, id, at, 512, 0, 0), -EINVAL);
	CHECK_EQ(reg_raw(alice, id, at + 512, PAGE, 0, 0), -EINVAL);
	CHECK_EQ(reg_raw(alice, id, at, (1ULL << 32) + PAGE, 0, 0), -EINVAL);
	CHECK_EQ(reg_raw(alice, id, at, size, 2, 0), -EINVAL);
	CHECK_EQ(reg_raw(alice, id, at, size, 0, 1), -EINVAL);
	CHECK_EQ(unreg(alice, id, UINT64_MAX), -EINVAL);
	CHECK_EQ(unreg(alice, id, 65536), -EINVAL);
	CHECK_EQ(unreg(alice, id, 0), -ENOENT);

	STEP("memory that is not there, or not writable, is refused");
	CHECK_EQ(reg_raw(alice, id, 0, PAGE, 0, 0), -EFAULT);
	CHECK_EQ(reg_raw(alice, id, (uintptr_t)view, size, 0, 0), -EFAULT);
	munmap(shared + 3 * PAGE, PAGE);
	CHECK_EQ(reg_raw(alice, id, at, size, 0, 0), -EFAULT);
	CHECK_EQ(pinned(), before);

	STEP("memory is registered once");
	CHECK_EQ(reg_raw(alice, id, at, 2 * PAGE, 0, 0), 0);
	CHECK_EQ(reg_raw(alice, id, (uintptr_t)view, size, UBLK_SHMEM_BUF_READ_ONLY, 0), -EEXIST);
	CHECK_EQ(pinned() - before, 2);
	CHECK_OK(unreg(alice, id, 0));

	STEP("nobody's limit on locked memory counts: the broker has to count");
	CHECK(getrlimit(RLIMIT_MEMLOCK, &usual) == 0);
	CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0 || errno == EPERM);
	CHECK_EQ(reg_raw(alice, id, at, 2 * PAGE, 0, 0), 0);
	CHECK_EQ(own_status("VmLck"), 0);
	CHECK_EQ(own_status("VmPin"), 0);
	setrlimit(RLIMIT_MEMLOCK, &usual);
	end_disk(&disk);
	CHECK_EQ(pinned(), before);
	munmap(view, size);
	close(fd);
}

/* The address of NEED_GET_DATA takes the place of index and offset, and nothing is copied. */
static void test_need_get_data(void)
{
	const size_t size = 4 * PAGE;
	int fd = make_memfd(size, SEALS), block;
	uint8_t *shared = map(fd, size, PROT_READ | PROT_WRITE);
	struct disk disk;

	start_disk(&disk, UBLK_F_SHMEM_ZC | UBLK_F_NEED_GET_DATA);
	block = open_block(disk.info.dev_id);
	CHECK_EQ(reg_memfd(&disk, fd, size, 0), 0);
	STEP("with NEED_GET_DATA a shared write cannot be served: neither data nor where it is");
	CHECK(pwrite(block, shared, PAGE, 0) == -1);
	CHECK_EQ(errno, EIO);
	CHECK(disk.last.flags & UBLK_IO_F_SHMEM_ZC);
	CHECK(disk.last.addr >= (uintptr_t)disk.buffers &&
	      disk.last.addr < (uintptr_t)disk.buffers + DEPTH * BUF_SIZE);
	CHECK(!disk.last.tag_buffer_touched);
	close(block);
	end_disk(&disk);
	close(fd);
}

struct outcome {
	bool done;
	int res;
};

static void on_done(int res, const void *buf, size_t len, void *user_data)
{
	struct outcome *outcome = user_data;

	outcome->res = res;
	outcome->done = true;
}

/* Dispatch for so long, or until it is done. */
static bool wait_done(const struct outcome *outcome, int ms)
{
	long long end = util_now_ms() + ms;

	while (!outcome->done && util_now_ms() < end) {
		struct pollfd pfd = { .fd = ublk_control_get_fd(ctl), .events = POLLIN };

		poll(&pfd, 1, 50);
		ublk_control_dispatch(ctl);
	}
	return outcome->done;
}

static void submit(uint32_t op, uint32_t id, uint64_t data, void *buf, size_t len,
		   struct outcome *outcome)
{
	struct ublk_control_cmd cmd = {
		.op = op,
		.dev_id = id,
		.data = data,
		.buf = buf,
		.len = len,
		.personality = (unsigned int)alice,
	};

	*outcome = (struct outcome){ 0 };
	CHECK_OK(ublk_control_submit(ctl, &cmd, on_done, outcome, NULL));
}

struct io {
	uint32_t id;
	int fd; /* of the memfd */
};

/* Another process has the request under way, so that its end is not ours. */
static int write_once(void *arg)
{
	const struct io *io = arg;
	int block = open_block(io->id);
	uint8_t *shared = map(io->fd, PAGE, PROT_READ | PROT_WRITE);

	return pwrite(block, shared, PAGE, 0) == PAGE ? 0 : 1;
}

/* `how`: the server is killed, or goes on, while UNREG_BUF waits for a request that it has. */
static void test_in_flight(bool kill_server)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1,
							    DEPTH, UBLK_F_SHMEM_ZC, DEV_SIZE);
	struct io io = { info.dev_id, make_memfd(PAGE, SEALS) };
	struct disk disk = { .info = info };
	struct outcome unregistered, stopped;
	long before = pinned();
	pid_t server, writer;

	server = util_serve_null(&info, ALICE_UID, ALICE_GID);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_START_DEV, info.dev_id, (uint64_t)server, NULL,
			     0));
	util_chown_nodes(info.dev_id, ALICE_UID, ALICE_GID);
	CHECK_EQ(reg_memfd(&disk, io.fd, PAGE, 0), 0);
	kill(server, SIGUSR1);
	writer = util_fork(write_once, &io);
	util_wait_for_request(info.dev_id);

	STEP("UNREG_BUF waits for what is under way");
	submit(UBLK_U_CMD_UNREG_BUF, info.dev_id, 0, NULL, 0, &unregistered);
	CHECK(!wait_done(&unregistered, 500));
	CHECK_EQ(pinned() - before >= 1, 1);
	if (kill_server) {
		STEP("a server that is killed meanwhile ends the request, and both go on");
		submit(UBLK_U_CMD_STOP_DEV, info.dev_id, 0, NULL, 0, &stopped);
		kill(server, SIGKILL);
		CHECK_EQ(util_wait(server), 128 + SIGKILL);
	} else {
		kill(server, SIGUSR2);
	}
	CHECK(wait_done(&unregistered, 10000));
	CHECK_EQ(unregistered.res, 0);
	CHECK_EQ(util_wait(writer), kill_server);
	CHECK_EQ(pinned(), before);
	if (kill_server)
		CHECK(wait_done(&stopped, 10000));
	else
		CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_STOP_DEV, info.dev_id, 0, NULL, 0));
	if (!kill_server)
		CHECK_EQ(util_wait(server), 0);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_DEL_DEV, info.dev_id, 0, NULL, 0));
	close(io.fd);
}

/* The server's end lets nothing go; the device's does. */
static void test_server_dies(void)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1,
							    DEPTH, UBLK_F_SHMEM_ZC, DEV_SIZE);
	const size_t size = 64 * PAGE;
	struct disk disk = { .info = info };
	int fd = make_memfd(size, SEALS);
	long before = pinned();
	pid_t server = util_serve_null(&info, ALICE_UID, ALICE_GID);

	STEP("the memory stays pinned when all who had it are gone, until DEL_DEV");
	CHECK_EQ(reg_memfd(&disk, fd, size, 0), 0);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_START_DEV, info.dev_id, (uint64_t)server, NULL,
			     0));
	close(fd);
	kill(server, SIGKILL);
	CHECK_EQ(util_wait(server), 128 + SIGKILL);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_STOP_DEV, info.dev_id, 0, NULL, 0));
	CHECK_EQ(pinned() - before, size / PAGE);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_DEL_DEV, info.dev_id, 0, NULL, 0));
	CHECK_EQ(pinned(), before);
}

int main(void)
{
	uint64_t features = 0;
	int bob;

	ctl = util_open_control();
	alice = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));
	bob = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, NULL, 0));
	CHECK_OK(ublk_control_get_features(ctl, &features));
	if (!(features & UBLK_F_SHMEM_ZC)) {
		before_7_1();
	} else {
		test_no_copy();
		test_read_only();
		test_refusals(bob);
		test_need_get_data();
		test_in_flight(false);
		test_in_flight(true);
		test_server_dies();
	}
	ublk_control_close(ctl);
	return 0;
}
