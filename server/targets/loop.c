/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The target over a regular file or a block device.
 *
 * What it promises to the block layer: a completed write is in the backing (or its page cache), a
 * completed flush or FUA write is on its storage. So the device announces a volatile cache, and
 * flushes become fdatasync(), whether the I/O is direct or not: a disk below may have a cache too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backing.h"
#include "dirty-limit.h"
#include "flush-group.h"
#include "server/device-size.h"
#include "server/report.h"
#include "server/target.h"
#include "server/wishes.h"

/*
 * The kernel kills an unprivileged server after 30 s on one request: bound what one may take, behind
 * as many others as a queue has. A disk that has to write each zero takes 15 s for 128 times this.
 */
#define MAX_DISCARD      (256ULL << 20)
#define MAX_WRITE_ZEROES (16ULL << 20)
/* Where zeroes must be written one by one, so many bytes at once. */
#define ZERO_CHUNK  (1U << 20)
#define MAX_RETRIES 100

enum loop_step {
	STEP_READ,
	STEP_WRITE,
	STEP_SYNC, /* after whatever came before it; for everybody in the flush group */
	STEP_WAIT, /* for somebody else's */
	STEP_PUNCH,
	STEP_ZERO_RANGE,
	STEP_WRITE_ZEROES,
};

struct loop {
	struct backing backing;
	uint32_t dev_id;
	/* How many bytes the backing must have: what the device has as far as is known here. */
	_Atomic uint64_t size;
	void *zeroes; /* ZERO_CHUNK bytes that are never written to: all one page of the kernel's */
	/* What this backing turned out not to have. */
	atomic_bool no_punch;
	atomic_bool no_zero_range;
	/*
	 * The first error of a flush, 0 until then. The kernel tells a lost write to one fsync() of
	 * a file only; the next one would succeed, though what it asked for is lost as well. So no
	 * flush succeeds any more once one has failed, and two never run at once.
	 */
	atomic_int flush_error;
	struct flush_group flushes;
	struct dirty_limit dirty;
};

static int set_limits(const struct options *options, struct backing *backing,
		      struct ublk_limits *limits, struct server_error *error)
{
	uint32_t block_size = options->logical_block_size;
	uint64_t size = backing->size;

	if (!block_size)
		block_size = backing->logical_block_size ? backing->logical_block_size : 512;
	if (block_size < backing->logical_block_size)
		return server_error_set(
			error, EINVAL,
			"--logical-block-size %u is smaller than the %u bytes of the "
			"backing device",
			block_size, backing->logical_block_size);
	if (options->size > size)
		return server_error_set(
			error, EINVAL,
			"--size %llu is more than the %llu bytes of the backing file",
			(unsigned long long)options->size, (unsigned long long)size);
	if (options->size)
		size = options->size;
	if (size < block_size)
		return server_error_set(
			error, EINVAL,
			"the backing file has %llu bytes, less than one block of %u; "
			"make it larger (truncate -s 1G FILE)",
			(unsigned long long)size, block_size);
	if (size % block_size != 0)
		server_log("the last %llu bytes of the backing file are left out: its size is no "
			   "multiple of the block size, %u",
			   (unsigned long long)(size % block_size), block_size);

	limits->size = size - size % block_size;
	limits->logical_block_size = block_size;
	limits->physical_block_size = backing->physical_block_size;
	if (limits->physical_block_size < block_size)
		limits->physical_block_size = block_size;
	/* A file system may wish for much more than a page (NFS: 1 MiB); that is no block size. */
	if (limits->physical_block_size > 4096 && !backing->is_block)
		limits->physical_block_size = 4096;
	limits->io_min = backing->io_min;
	limits->io_opt = backing->io_opt;
	limits->max_io_size = options->max_io_size;
	limits->rotational = backing->rotational;
	limits->volatile_cache = true;
	limits->fua = true;
	limits->read_only = options->read_only;
	/*
	 * Without holes in the backing the block layer is left to write zeroes itself, in pieces
	 * that it can time.
	 */
	if (!options->read_only && backing->can_punch)
		limits->max_write_zeroes_size = MAX_WRITE_ZEROES;
	if (!options->read_only && backing->can_discard) {
		limits->max_discard_size = MAX_DISCARD;
		limits->discard_granularity = backing->discard_granularity;
		if (limits->discard_granularity < block_size)
			limits->discard_granularity = block_size;
	}
	return wishes_apply(options, "loop", limits, error);
}

static void loop_close(void *target)
{
	struct loop *loop = target;

	if (loop->zeroes)
		munmap(loop->zeroes, ZERO_CHUNK);
	flush_group_exit(&loop->flushes);
	backing_close(&loop->backing);
	free(loop);
}

static int loop_open(const struct options *options, int file, struct ublk_limits *limits,
		     void **target, struct server_error *error)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	void *zeroes;
	int ret;

	if (!loop) {
		if (file >= 0)
			close(file);
		return server_error_set(error, ENOMEM, "out of memory");
	}
	ret = backing_open(options, file, &loop->backing, error);
	if (ret < 0) {
		free(loop);
		return ret;
	}
	dirty_limit_init(&loop->dirty);
	ret = flush_group_init(&loop->flushes);
	if (ret < 0)
		server_error_set(error, ret, "cannot make an eventfd: %s", strerror(-ret));
	zeroes = mmap(NULL, ZERO_CHUNK, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (zeroes != MAP_FAILED)
		loop->zeroes = zeroes;
	else if (ret == 0)
		ret = server_error_set(error, errno, "out of memory");
	if (ret == 0)
		ret = set_limits(options, &loop->backing, limits, error);
	if (ret < 0) {
		loop_close(loop);
		return ret;
	}
	/* Whoever has no discards wants to keep the space, and zeroes shall not give it back
	 * either.
	 */
	if (!limits->max_discard_size)
		atomic_store(&loop->no_punch, true);
	server_log("backing %s, %s I/O", loop->backing.is_block ? "device" : "file",
		   loop->backing.direct ? "direct" : "buffered");
	loop->dev_id = options->dev_id;
	device_size_open();
	atomic_init(&loop->size, limits->size);
	*target = loop;
	return 0;
}

/*
 * Does the backing reach as far as `end`? A file may be made shorter under the device. What it then
 * lacks must not be written to: that would make it longer again, and what lies before would read as
 * zeroes, which nobody wrote. A disk looks after its size by itself.
 */
static bool reaches(const struct loop *loop, uint64_t end)
{
	struct statx st;

	/* What the kernel knows: a file server that hangs shall not be waited for, nor a flush. */
	return loop->backing.is_block ||
	       (statx(loop->backing.fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &st) ==
			0 &&
		st.stx_size >= end);
}

static void note_flush_error(struct loop *loop, int result)
{
	int none = 0;

	/* Not for a flush: fsync() would take it for success. */
	if (result == -EOPNOTSUPP)
		result = -EIO;
	if (atomic_compare_exchange_strong(&loop->flush_error, &none, result))
		report_trouble(result,
			       "the backing could not keep data that it had taken (%s): from now "
			       "on every flush fails, for nobody can know what is lost",
			       strerror(-result));
}

/*
 * After a flush that seemed good: what was cut off the file is not durable, unless it had been cut
 * off the device before.
 */
static void check_size(struct loop *loop)
{
	uint64_t size = atomic_load(&loop->size), present;

	if (reaches(loop, size))
		return;
	present = device_size_read(loop->dev_id);
	if (present != 0 && reaches(loop, present)) {
		/* Not if it has been raised meanwhile: the next flush looks again. */
		atomic_compare_exchange_strong(&loop->size, &size, present);
		return;
	}
	note_flush_error(loop, -EIO);
	report_trouble(EIO, "the backing file was made shorter than its device");
}

/* Something was changed up to `end`: so far the device reaches, if it was made larger. */
static void raise_size(struct loop *loop, uint64_t end)
{
	uint64_t size = atomic_load_explicit(&loop->size, memory_order_relaxed);

	while (end > size && !atomic_compare_exchange_weak(&loop->size, &size, end))
		;
}

static int loop_sync(void *target)
{
	struct loop *loop = target;

	if (atomic_load(&loop->flush_error) == 0) {
		if (fdatasync(loop->backing.fd) < 0)
			return -errno;
		check_size(loop);
	}
	return atomic_load(&loop->flush_error);
}

/*
 * A FUA write that is durable by itself when it completes, without a flush of everything else. Only
 * where it cannot do harm: in a file RWF_DSYNC is an fsync() of its range, which may take the news
 * of a lost page to itself, so there a FUA write is a write and then a flush like everybody's.
 */
static bool is_durable_write(const struct target_request *req)
{
	const struct loop *loop = req->target;

	return req->op == UBLK_IO_OP_WRITE && (req->flags & UBLK_IO_F_FUA) &&
	       loop->backing.is_block && loop->backing.direct;
}

/* Take an SQE for the request's current step, from where it has come to. */
static void submit_step(struct target_request *req)
{
	struct loop *loop = req->target;
	struct io_uring_sqe *sqe = target_request_get_sqe(req);
	uint64_t offset = req->offset + req->done;
	uint64_t left = target_request_length(req) - req->done;
	int fd = loop->backing.fd;

	switch (req->step) {
	case STEP_READ:
		io_uring_prep_read(sqe, fd, (char *)req->buffer + req->done, (unsigned int)left,
				   offset);
		break;
	case STEP_WRITE:
		io_uring_prep_write(sqe, fd, (char *)req->buffer + req->done, (unsigned int)left,
				    offset);
		if (is_durable_write(req))
			sqe->rw_flags = RWF_DSYNC;
		break;
	case STEP_SYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case STEP_WAIT:
		io_uring_prep_read(sqe, loop->flushes.wake_fd, &loop->flushes.token,
				   sizeof(loop->flushes.token), 0);
		break;
	case STEP_PUNCH:
		io_uring_prep_fallocate(sqe, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)offset, (off_t)left);
		break;
	case STEP_ZERO_RANGE:
		/* Of a disk that ends within the range KEEP_SIZE would zero what there is, and say
		 * that all is done. */
		io_uring_prep_fallocate(sqe, fd,
					FALLOC_FL_ZERO_RANGE |
						(loop->backing.is_block ? 0 : FALLOC_FL_KEEP_SIZE),
					(off_t)offset, (off_t)left);
		break;
	case STEP_WRITE_ZEROES:
		io_uring_prep_write(sqe, fd, loop->zeroes,
				    left < ZERO_CHUNK ? (unsigned int)left : ZERO_CHUNK, offset);
		break;
	}
	target_request_submit(req, sqe);
}

static void begin_step(struct target_request *req, enum loop_step step)
{
	req->step = step;
	req->retries = 0;
	submit_step(req);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* `done`, which a flush has no use for, holds the ticket. */
static void continue_flush(struct target_request *req)
{
	struct loop *loop = req->target;

	switch (flush_group_ask(&loop->flushes, req->done)) {
	case FLUSH_GROUP_RUN:
		dirty_limit_begin_flush(&loop->dirty, now_ms());
		begin_step(req, STEP_SYNC);
		break;
	case FLUSH_GROUP_WAIT:
		begin_step(req, STEP_WAIT);
		break;
	case FLUSH_GROUP_DONE:
		target_request_complete(req, atomic_load(&loop->flush_error));
		break;
	}
}

static void begin_flush(struct target_request *req)
{
	struct loop *loop = req->target;
	int flush_error = atomic_load(&loop->flush_error);

	if (flush_error) {
		target_request_complete(req, flush_error);
		return;
	}
	req->done = flush_group_take_ticket(&loop->flushes);
	continue_flush(req);
}

static void flush_returned(struct target_request *req, int result)
{
	struct loop *loop = req->target;

	/* Before the others are let on. */
	if (result < 0)
		note_flush_error(loop, result);
	else
		check_size(loop);
	dirty_limit_end_flush(&loop->dirty, now_ms());
	flush_group_end(&loop->flushes);
	continue_flush(req);
}

/*
 * Must it wait, since the page cache has taken so much that a flush of it would take too long? Not
 * where no flush will help any more; nor in shared memory, where no deadline ends a wait.
 */
static bool is_too_much(const struct target_request *req)
{
	struct loop *loop = req->target;

	return (req->step == STEP_WRITE || req->step == STEP_WRITE_ZEROES) &&
	       !loop->backing.direct && !loop->backing.in_memory &&
	       dirty_limit_add(&loop->dirty, target_request_length(req)) &&
	       !(req->flags & UBLK_IO_F_SHMEM_ZC) && atomic_load(&loop->flush_error) == 0;
}

/* Done, once it is as durable as was asked for. */
static void change_done(struct target_request *req)
{
	raise_size(req->target, req->offset + target_request_length(req));
	/* In this order: what is written counts, whatever its writer waits for. */
	if (is_too_much(req) || ((req->flags & UBLK_IO_F_FUA) && !is_durable_write(req))) {
		req->changed = true;
		begin_flush(req);
	} else {
		target_request_complete(req, 0);
	}
}

/* Zeroes that may give space back, if they can; that must keep it, or may not: the next best way.
 */
static enum loop_step choose_zero_step(const struct target_request *req)
{
	struct loop *loop = req->target;

	if (!(req->flags & UBLK_IO_F_NOUNMAP) && !atomic_load(&loop->no_punch))
		return STEP_PUNCH;
	return atomic_load(&loop->no_zero_range) ? STEP_WRITE_ZEROES : STEP_ZERO_RANGE;
}

/*
 * What the memory holds is copied here and now. io_uring would hand it to a worker thread, since
 * tmpfs does not say that it never waits; that makes a request three to four times as dear (see
 * docs/benchmarks.md). It can still wait: for swap space, or for memory to be freed; a tmpfs is
 * memory, and who puts a disk into it means that. Whatever is not done in one go, an error too, is
 * left to the long way.
 */
static bool is_done_at_once(const struct target_request *req)
{
	const struct loop *loop = req->target;
	uint64_t length = target_request_length(req);
	int fd = loop->backing.fd;

	if (!loop->backing.in_memory)
		return false;
	if (req->op == UBLK_IO_OP_READ)
		return pread(fd, req->buffer, length, (off_t)req->offset) == (ssize_t)length;
	if (req->op == UBLK_IO_OP_WRITE)
		return pwrite(fd, req->buffer, length, (off_t)req->offset) == (ssize_t)length;
	return false;
}

static void loop_queue_io(struct target_request *req)
{
	struct loop *loop = req->target;

	if (req->op != UBLK_IO_OP_READ && req->op != UBLK_IO_OP_FLUSH &&
	    !reaches(loop, req->offset + target_request_length(req))) {
		target_request_complete(req, -EIO);
		return;
	}
	if (is_done_at_once(req)) {
		change_done(req);
		return;
	}
	switch (req->op) {
	case UBLK_IO_OP_READ:
		begin_step(req, STEP_READ);
		break;
	case UBLK_IO_OP_WRITE:
		begin_step(req, STEP_WRITE);
		break;
	case UBLK_IO_OP_FLUSH:
		begin_flush(req);
		break;
	case UBLK_IO_OP_DISCARD:
		/* Only a wish: where it cannot be had, the reader is told so. */
		if (atomic_load(&loop->no_punch))
			target_request_complete(req, -EOPNOTSUPP);
		else
			begin_step(req, STEP_PUNCH);
		break;
	case UBLK_IO_OP_WRITE_ZEROES:
		begin_step(req, choose_zero_step(req));
		break;
	default:
		target_request_complete(req, -EOPNOTSUPP);
		break;
	}
}

static void read_done(struct target_request *req, unsigned int bytes)
{
	const struct loop *loop = req->target;
	uint64_t length = target_request_length(req);

	req->done += bytes;
	/*
	 * Nothing, or direct I/O that stopped inside a block: the end of the file, which somebody
	 * has made shorter than the device. What is gone is an error, and never zeroes.
	 */
	if (req->done >= length)
		target_request_complete(req, 0);
	else if (bytes == 0 ||
		 (loop->backing.direct && req->done % loop->backing.direct_alignment != 0))
		target_request_complete(req, -EIO);
	else
		submit_step(req);
}

static void write_done(struct target_request *req, unsigned int bytes)
{
	const struct loop *loop = req->target;
	uint64_t length = target_request_length(req);
	uint64_t before = req->done;

	req->done += bytes;
	/* A direct write goes on at a block's border; writing the beginning of it twice does no
	 * harm. */
	if (loop->backing.direct && req->done < length)
		req->done -= req->done % loop->backing.direct_alignment;
	if (req->done <= before)
		target_request_complete(req, -EIO);
	else if (req->done < length)
		submit_step(req);
	else
		change_done(req);
}

/* A way to make zeroes that the backing does not have, found out by trying. */
static void zero_unsupported(struct target_request *req)
{
	struct loop *loop = req->target;

	if (req->step == STEP_PUNCH)
		atomic_store(&loop->no_punch, true);
	else
		atomic_store(&loop->no_zero_range, true);
	if (req->op == UBLK_IO_OP_DISCARD)
		target_request_complete(req, -EOPNOTSUPP);
	else
		begin_step(req, choose_zero_step(req));
}

/*
 * May the disk have failed to empty its cache, which holds other people's data too, when this write
 * failed? These are what the block layer says of a disk; other errors are of the write alone.
 */
static bool may_have_lost_more(const struct target_request *req, int result)
{
	if (!is_durable_write(req))
		return false;
	switch (-result) {
	case EIO:
	case ENODEV:
	case ENOLINK:
	case EREMOTEIO:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static void step_failed(struct target_request *req, int result)
{
	struct loop *loop = req->target;

	if ((result == -EOPNOTSUPP || result == -ENOSYS) &&
	    (req->step == STEP_PUNCH || req->step == STEP_ZERO_RANGE)) {
		zero_unsupported(req);
		return;
	}
	if (may_have_lost_more(req, result))
		note_flush_error(loop, result);
	target_request_complete(req, result);
}

static void loop_handle_cqe(struct target_request *req, int res)
{
	struct loop *loop = req->target;

	/* Nobody waits for what was given up: no more of it is done. */
	if (target_request_is_late(req) && req->step != STEP_SYNC && req->step != STEP_WAIT) {
		if (may_have_lost_more(req, res))
			note_flush_error(loop, res);
		target_request_complete(req, -ETIMEDOUT);
		return;
	}
	if ((res == -EINTR || res == -EAGAIN) && req->retries++ < MAX_RETRIES) {
		submit_step(req);
		return;
	}
	/* These have others who depend on them. */
	switch (req->step) {
	case STEP_SYNC:
		flush_returned(req, res);
		return;
	case STEP_WAIT:
		flush_group_woken(&loop->flushes);
		if (res < 0)
			break;
		continue_flush(req);
		return;
	}
	if (res < 0) {
		step_failed(req, res);
		return;
	}
	switch (req->step) {
	case STEP_READ:
		read_done(req, (unsigned int)res);
		break;
	case STEP_WRITE:
	case STEP_WRITE_ZEROES:
		write_done(req, (unsigned int)res);
		break;
	default: /* fallocate() is all or nothing */
		change_done(req);
		break;
	}
}

const struct target_ops target_loop = {
	.name = "loop",
	.takes_file = true,
	.open = loop_open,
	.close = loop_close,
	.sync = loop_sync,
	.queue_io = loop_queue_io,
	.handle_cqe = loop_handle_cqe,
};
