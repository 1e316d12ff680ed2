/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flushes of two queues over one file: never two fsync() at once, since Linux tells a lost page to
 * one of them only; who comes meanwhile gets the result of one that began later; and after an error
 * nobody is told that all is well. (On a real disk the kernel wins that race too seldom to be
 * seen.)
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/target.h"

#define PENDING 1

static char path[] = "/tmp/test-server-flush-XXXXXX";
static struct io_uring_sqe sqes[4]; /* one for each request: its last */
static int results[4];
static struct target_request requests[4];
static void *target;

bool target_request_is_late(const struct target_request *req)
{
	(void)req;
	return false;
}

struct io_uring_sqe *target_request_get_sqe(struct target_request *req)
{
	memset(&sqes[req->tag], 0, sizeof(sqes[0]));
	return &sqes[req->tag];
}

void target_request_complete(struct target_request *req, int result)
{
	assert(results[req->tag] == PENDING);
	results[req->tag] = result;
}

static void begin(unsigned int i, uint8_t op, uint32_t flags)
{
	static char buffer[4096];

	memset(&sqes[i], 0xff, sizeof(sqes[0]));
	results[i] = PENDING;
	requests[i] = (struct target_request){ .target = target,
					       .tag = (uint16_t)i,
					       .op = op,
					       .flags = flags,
					       .sectors = op == UBLK_IO_OP_FLUSH ? 0 : 8,
					       .buffer = buffer };
	target_loop.queue_io(&requests[i]);
}

static void answer(unsigned int i, int res)
{
	target_loop.handle_cqe(&requests[i], res);
}

static bool is_syncing(unsigned int i)
{
	return results[i] == PENDING && sqes[i].opcode == IORING_OP_FSYNC;
}

/* It reads the eventfd; that never blocks here, as the answer is what the test says. */
static bool is_waiting(unsigned int i)
{
	return results[i] == PENDING && sqes[i].opcode == IORING_OP_READ;
}

static void open_target(void)
{
	struct options options = { .char_fd = -1,
				   .file_fd = -1,
				   .report_fd = -1,
				   .file = path,
				   .depth = 1,
				   .max_io_size = 524288,
				   .io_mode = OPTIONS_IO_BUFFERED };
	struct ublk_limits limits = { 0 };
	struct server_error error = { 0 };

	assert(target_loop.open(&options, -1, &limits, &target, &error) == 0);
}

static void test_result_is_shared(void)
{
	open_target();
	begin(0, UBLK_IO_OP_FLUSH, 0);
	assert(is_syncing(0));
	for (unsigned int i = 1; i < 4; i++) {
		begin(i, UBLK_IO_OP_FLUSH, 0);
		assert(is_waiting(i));
	}
	answer(0, 0);
	assert(results[0] == 0);
	/* The first that began before they came is not enough for them. */
	answer(2, 8);
	assert(is_syncing(2));
	answer(1, 8);
	answer(3, 8);
	assert(is_waiting(1) && is_waiting(3));
	answer(2, 0);
	answer(3, 8);
	answer(1, 8);
	assert(results[1] == 0 && results[2] == 0 && results[3] == 0);
	/* And it is not over: there can be another. */
	begin(0, UBLK_IO_OP_FLUSH, 0);
	assert(is_syncing(0));
	answer(0, 0);
	assert(results[0] == 0);
	target_loop.close(target);
}

static void test_error_is_everybodys(void)
{
	open_target();
	begin(0, UBLK_IO_OP_FLUSH, 0);
	begin(1, UBLK_IO_OP_FLUSH, 0);
	answer(0, -EIO);
	assert(results[0] == -EIO);
	answer(1, 8);
	/* Its own finds nothing any more: the error was told. */
	if (is_syncing(1))
		answer(1, 0);
	assert(results[1] == -EIO);
	begin(2, UBLK_IO_OP_FLUSH, 0);
	assert(results[2] == -EIO);
	assert(target_loop.sync(target) == -EIO);
	target_loop.close(target);
}

/* In a file a FUA write is a write and then a flush like the others: it may not take an error away.
 */
static void test_fua_joins(void)
{
	open_target();
	begin(0, UBLK_IO_OP_FLUSH, 0);
	begin(1, UBLK_IO_OP_WRITE, UBLK_IO_F_FUA);
	/* Where /tmp is in memory it is written by now. */
	if (sqes[1].opcode == IORING_OP_WRITE) {
		assert(sqes[1].rw_flags == 0);
		answer(1, 4096);
	}
	assert(is_waiting(1));
	answer(0, -EIO);
	answer(1, 8);
	if (is_syncing(1))
		answer(1, 0);
	assert(results[0] == -EIO && results[1] == -EIO);
	target_loop.close(target);
}

int main(void)
{
	int fd = mkstemp(path);

	assert(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	close(fd);
	test_result_is_shared();
	test_error_is_everybodys();
	test_fua_joins();
	unlink(path);
	return 0;
}
