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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backing.h"
#include "server/target.h"

/* The kernel kills an unprivileged server after 30 s on one request: bound what one may take. */
#define MAX_DISCARD      (1ULL << 30)
#define MAX_WRITE_ZEROES (64ULL << 20)
/* Where zeroes must be written one by one, so many bytes at once. */
#define ZERO_CHUNK  (1U << 20)
#define MAX_RETRIES 100

enum loop_step {
	STEP_READ,
	STEP_WRITE,
	STEP_SYNC, /* after whatever came before it */
	STEP_PUNCH,
	STEP_ZERO_RANGE,
	STEP_WRITE_ZEROES,
};

struct loop {
	struct backing backing;
	void *zeroes; /* ZERO_CHUNK bytes that are never written to: all one page of the kernel's */
	/* What this backing turned out not to have. */
	atomic_bool no_punch;
	atomic_bool no_zero_range;
	/*
	 * The first error of a flush, 0 until then. The kernel tells a lost write to one fsync() of
	 * a file only; another queue's flush right after it would succeed, though what it asked for
	 * is lost as well. So no flush succeeds any more once one has failed.
	 */
	atomic_int flush_error;
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
	if (!options->read_only && backing->can_punch) {
		limits->max_discard_size = MAX_DISCARD;
		limits->discard_granularity = backing->discard_granularity;
		if (limits->discard_granularity < block_size)
			limits->discard_granularity = block_size;
		limits->max_write_zeroes_size = MAX_WRITE_ZEROES;
	}
	return 0;
}

static void loop_close(void *target)
{
	struct loop *loop = target;

	if (loop->zeroes)
		munmap(loop->zeroes, ZERO_CHUNK);
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
	zeroes = mmap(NULL, ZERO_CHUNK, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (zeroes == MAP_FAILED)
		ret = server_error_set(error, errno, "out of memory");
	else
		loop->zeroes = zeroes;
	if (ret == 0)
		ret = set_limits(options, &loop->backing, limits, error);
	if (ret < 0) {
		loop_close(loop);
		return ret;
	}
	server_log("backing %s, %s I/O", loop->backing.is_block ? "device" : "file",
		   loop->backing.direct ? "direct" : "buffered");
	*target = loop;
	return 0;
}

static void note_flush_error(struct loop *loop, int result)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&loop->flush_error, &none, result))
		server_log("the backing could not write data that it had taken (%s): from now on "
			   "every flush fails, for nobody can know what is lost",
			   strerror(-result));
}

static int loop_sync(void *target)
{
	struct loop *loop = target;
	int ret = atomic_load(&loop->flush_error);

	if (ret == 0 && fdatasync(loop->backing.fd) < 0)
		ret = -errno;
	return ret;
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
		/* Durable when it completes, each piece of it: no flush of everything else. */
		if (req->flags & UBLK_IO_F_FUA)
			sqe->rw_flags = RWF_DSYNC;
		break;
	case STEP_SYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case STEP_PUNCH:
		io_uring_prep_fallocate(sqe, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)offset, (off_t)left);
		break;
	case STEP_ZERO_RANGE:
		io_uring_prep_fallocate(sqe, fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
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

/* Zeroes that may give space back, if they can; that must keep it, or may not: the next best way.
 */
static enum loop_step choose_zero_step(const struct target_request *req)
{
	struct loop *loop = req->target;

	if (!(req->flags & UBLK_IO_F_NOUNMAP) && !atomic_load(&loop->no_punch))
		return STEP_PUNCH;
	return atomic_load(&loop->no_zero_range) ? STEP_WRITE_ZEROES : STEP_ZERO_RANGE;
}

static void loop_queue_io(struct target_request *req)
{
	struct loop *loop = req->target;
	int flush_error;

	switch (req->op) {
	case UBLK_IO_OP_READ:
		begin_step(req, STEP_READ);
		break;
	case UBLK_IO_OP_WRITE:
		begin_step(req, STEP_WRITE);
		break;
	case UBLK_IO_OP_FLUSH:
		flush_error = atomic_load(&loop->flush_error);
		if (flush_error)
			target_request_complete(req, flush_error);
		else
			begin_step(req, STEP_SYNC);
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
	 * has made shorter than the device. What is not there reads as zeroes.
	 */
	if (bytes == 0 ||
	    (loop->backing.direct && req->done % loop->backing.direct_alignment != 0)) {
		memset((char *)req->buffer + req->done, 0, length - req->done);
		req->done = length;
	}
	if (req->done < length)
		submit_step(req);
	else
		target_request_complete(req, 0);
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
	else if (req->step == STEP_WRITE_ZEROES && (req->flags & UBLK_IO_F_FUA))
		begin_step(req, STEP_SYNC);
	else
		target_request_complete(req, 0);
}

/* fallocate() is all or nothing. */
static void zero_done(struct target_request *req)
{
	if (req->flags & UBLK_IO_F_FUA)
		begin_step(req, STEP_SYNC);
	else
		target_request_complete(req, 0);
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

static void step_failed(struct target_request *req, int result)
{
	struct loop *loop = req->target;

	if ((result == -EOPNOTSUPP || result == -ENOSYS) &&
	    (req->step == STEP_PUNCH || req->step == STEP_ZERO_RANGE)) {
		zero_unsupported(req);
		return;
	}
	/*
	 * A FUA write that failed may have taken the news of somebody else's lost write with it;
	 * but a full file system is only its own trouble.
	 */
	if (req->step == STEP_SYNC ||
	    (req->step == STEP_WRITE && (req->flags & UBLK_IO_F_FUA) && result == -EIO))
		note_flush_error(loop, result);
	target_request_complete(req, result);
}

static void loop_handle_cqe(struct target_request *req, int res)
{
	struct loop *loop = req->target;
	int flush_error;

	if ((res == -EINTR || res == -EAGAIN) && req->retries++ < MAX_RETRIES) {
		submit_step(req);
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
	case STEP_PUNCH:
	case STEP_ZERO_RANGE:
		zero_done(req);
		break;
	default: /* STEP_SYNC; another queue's may have failed while this one was on its way */
		flush_error = atomic_load(&loop->flush_error);
		target_request_complete(req, flush_error);
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
