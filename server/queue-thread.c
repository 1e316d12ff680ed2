/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads that serve a device. See queue-thread.h. */
#include "queue-thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "deadline.h"
#include "kernel/ublk-queue.h"
#include "kernel/ublk-uring.h"
#include "kernel/uring-compat.h"
#include "pace.h"
#include "report.h"
#include "sandbox/confine.h"

/* user_data: a tag for the target's SQEs, UBLK_QUEUE_USER_DATA for the driver's, and this. */
#define USER_DATA_STOP (1ULL << 62)
#define USER_DATA_TICK (1ULL << 61)

#define THREAD_STACK_SIZE (256U << 10)
#define MAX_LOGGED_ERRORS 16

enum thread_state {
	THREAD_STARTING,
	THREAD_READY,
	THREAD_DRAINED,
	THREAD_LEFT,
};

struct queue_thread {
	struct queue_threads *threads;
	pthread_t thread;
	struct io_uring ring;
	bool ring_registered; /* its descriptor, with the kernel */
	struct pace pace;
	struct ublk_queue queue;
	uint16_t id;
	void *target_data;
	struct target_request *requests; /* one per tag */
	unsigned int in_flight;          /* requests that the target has */
	unsigned int started;            /* requests, in all; wraps */
	unsigned int started_at_tick;
	bool ticked; /* in this round */
	struct deadline deadline;
	int failure; /* what a commit met, out of the target's sight; negative errno */
	bool draining;
	enum thread_state state; /* under threads->lock */
};

struct queue_threads {
	const struct options *options;
	const struct target_ops *ops;
	void *target;
	int char_fd;
	int stop_fd; /* readable for good once the threads shall drain */
	int event_fd;
	pthread_mutex_t lock;
	pthread_cond_t started;
	atomic_uint late_changes;  /* see deadline.h */
	struct server_error error; /* the first thread's that failed; under the lock */
	unsigned int n;
	struct queue_thread queues[];
};

static void thread_set_state(struct queue_thread *q, enum thread_state state)
{
	struct queue_threads *threads = q->threads;

	pthread_mutex_lock(&threads->lock);
	q->state = state;
	pthread_cond_signal(&threads->started);
	pthread_mutex_unlock(&threads->lock);
	eventfd_write(threads->event_fd, 1);
}

static void thread_fail(struct queue_thread *q, const struct server_error *error)
{
	struct queue_threads *threads = q->threads;

	pthread_mutex_lock(&threads->lock);
	if (!threads->error.err)
		threads->error = *error;
	pthread_cond_signal(&threads->started);
	pthread_mutex_unlock(&threads->lock);
	eventfd_write(threads->event_fd, 1);
}

struct io_uring_sqe *target_request_get_sqe(struct target_request *req)
{
	return io_uring_get_sqe(&req->queue->ring);
}

/*
 * What may go to the block layer: some errors mean something of their own there (EAGAIN and ENOMEM
 * ask for a retry that nobody would make), and a reader shall not take them for its own.
 */
static int block_error(uint8_t op, int result)
{
	switch (-result) {
	case ENOSPC:
	case EDQUOT:
		return -ENOSPC;
	case EOPNOTSUPP:
		/* Of a flush fsync() would take it for success: a disk that has no cache. */
		return op == UBLK_IO_OP_DISCARD || op == UBLK_IO_OP_WRITE_ZEROES ? result : -EIO;
	case ETIMEDOUT:
	case ENODATA:
	case EILSEQ:
		return result;
	default:
		return -EIO;
	}
}

static bool changes_backing(uint8_t op)
{
	return op != UBLK_IO_OP_READ && op != UBLK_IO_OP_FLUSH;
}

bool target_request_is_late(const struct target_request *req)
{
	return deadline_is_late(&req->queue->deadline, req->tag);
}

static void log_failed_request(const struct target_request *req, int result)
{
	static atomic_uint logged;
	static const char *const names[] = {
		[UBLK_IO_OP_READ] = "read",    [UBLK_IO_OP_WRITE] = "write",
		[UBLK_IO_OP_FLUSH] = "flush",  [UBLK_IO_OP_DISCARD] = "discard",
		[UBLK_IO_OP_WRITE_SAME] = "?", [UBLK_IO_OP_WRITE_ZEROES] = "write of zeroes",
	};
	unsigned int n = atomic_fetch_add(&logged, 1);

	/*
	 * A flush has no range: its sector is all ones. What keeps flushes from succeeding is told
	 * by the target, and is more than this.
	 */
	if (n < MAX_LOGGED_ERRORS && req->op == UBLK_IO_OP_FLUSH)
		server_log("flush failed: %s", strerror(-result));
	else if (n < MAX_LOGGED_ERRORS)
		report_trouble(result, "%s of %llu bytes at %llu failed: %s",
			       req->op < sizeof(names) / sizeof(*names) ? names[req->op] : "request",
			       (unsigned long long)target_request_length(req),
			       (unsigned long long)req->offset, strerror(-result));
	else if (n == MAX_LOGGED_ERRORS)
		server_log("further failed requests are not logged");
}

/* Out of the target's sight, since it could do nothing about a failure: that ends the loop. */
static void commit(struct queue_thread *q, uint16_t tag, int result)
{
	int ret = ublk_queue_commit(&q->queue, tag, result);

	if (ret < 0)
		q->failure = ret;
}

void target_request_complete(struct target_request *req, int result)
{
	struct queue_thread *q = req->queue;

	if (deadline_end(&q->deadline, req->tag)) {
		q->in_flight--;
		server_log("the backing has answered a request that was given up");
		return;
	}
	if (req->shared.slot)
		shared_memory_end(&req->shared, result < 0 ? 0 : target_request_length(req),
				  &req->buffer);
	if (result < 0) {
		if (block_error(req->op, result) != -EOPNOTSUPP)
			log_failed_request(req, result);
		result = block_error(req->op, result);
	} else {
		result = req->op == UBLK_IO_OP_READ || req->op == UBLK_IO_OP_WRITE
				 ? (int)target_request_length(req)
				 : 0;
	}
	q->in_flight--;
	commit(q, req->tag, result);
}

/* What no target has to look at: operations that it never announced. */
static int check_request(const struct queue_thread *q, const struct target_request *req)
{
	switch (req->op) {
	case UBLK_IO_OP_FLUSH:
		return 0;
	case UBLK_IO_OP_READ:
		break;
	case UBLK_IO_OP_WRITE:
	case UBLK_IO_OP_DISCARD:
	case UBLK_IO_OP_WRITE_ZEROES:
		/* The block layer refuses these before us, but for a device that was made writable.
		 */
		if (q->threads->options->read_only)
			return -EROFS;
		break;
	default:
		return -EOPNOTSUPP;
	}
	/* The driver keeps to the size that the buffers have; memory safety should not hang on it.
	 */
	if ((req->op == UBLK_IO_OP_READ || req->op == UBLK_IO_OP_WRITE) &&
	    (req->sectors == 0 || target_request_length(req) > q->queue.buffer_size))
		return -EIO;
	return 0;
}

/* Tell the readers of requests that the target does not get done. */
static void give_up_late_requests(struct queue_thread *q)
{
	int tag;

	while ((tag = deadline_find_due(&q->deadline)) >= 0) {
		struct target_request *req = &q->requests[tag];

		log_failed_request(req, -ETIMEDOUT);
		report_trouble(ETIMEDOUT, "the backing has not answered for %d s",
			       DEADLINE_TICKS * DEADLINE_TICK_S);
		deadline_give_up(&q->deadline, req->tag,
				 changes_backing(req->op) && !req->changed);
		ublk_queue_swap_buffer(&q->queue, req->tag);
		/* There may be more of them than one round has room for. */
		if (io_uring_sq_space_left(&q->ring) == 0)
			io_uring_submit(&q->ring);
		commit(q, req->tag, -EIO);
	}
}

static void start_request(struct queue_thread *q, uint16_t tag)
{
	const struct ublksrv_io_desc *desc = ublk_queue_get_desc(&q->queue, tag);
	struct target_request *req = &q->requests[tag];
	int ret;

	/* While draining, what comes now stays: the driver fails it when we are gone. */
	if (q->draining)
		return;
	if (deadline_refuses(&q->deadline, tag, changes_backing(ublksrv_get_op(desc)))) {
		commit(q, tag, -EIO);
		return;
	}
	req->op = ublksrv_get_op(desc);
	req->buffer = ublk_queue_get_buffer(&q->queue, tag);
	req->flags = ublk_desc_flags(desc);
	req->offset = desc->start_sector << 9;
	req->sectors = desc->nr_sectors;
	req->done = 0;
	req->step = 0;
	req->retries = 0;
	req->changed = false;
	q->in_flight++;
	q->started++;
	ret = check_request(q, req);
	if (req->flags & UBLK_IO_F_SHMEM_ZC) {
		/*
		 * Without a deadline: what is in somebody else's memory cannot be given up, since
		 * it would be used when its owner has it back.
		 */
		if (ret == 0)
			ret = shared_memory_begin(&req->shared, req->op == UBLK_IO_OP_READ,
						  desc->addr, target_request_length(req),
						  &req->buffer);
	} else {
		if (ret == 0 && (req->op == UBLK_IO_OP_READ || req->op == UBLK_IO_OP_WRITE))
			ublk_queue_populate(&q->queue, tag, (uint32_t)target_request_length(req));
		deadline_begin(&q->deadline, tag);
	}
	if (ret < 0)
		target_request_complete(req, ret);
	else
		q->threads->ops->queue_io(req);
}

static int handle_cqe(struct queue_thread *q, const struct io_uring_cqe *cqe)
{
	uint16_t tag;
	int ret;

	if (cqe->user_data == USER_DATA_STOP) {
		q->draining = true;
		return 0;
	}
	if (cqe->user_data == USER_DATA_TICK) {
		deadline_count_tick(&q->deadline);
		give_up_late_requests(q);
		q->ticked = true;
		return q->failure;
	}
	if (!(cqe->user_data & UBLK_QUEUE_USER_DATA)) {
		q->threads->ops->handle_cqe(&q->requests[cqe->user_data], cqe->res);
		return q->failure;
	}
	ret = ublk_queue_handle_cqe(&q->queue, cqe, &tag);
	switch (ret) {
	case UBLK_QUEUE_REQUEST:
		start_request(q, tag);
		return q->failure;
	case UBLK_QUEUE_WANTS_DATA:
		return q->draining ? 0 : ublk_queue_get_data(&q->queue, tag);
	case UBLK_QUEUE_ABORTED:
		return 0;
	default:
		return ret;
	}
}

/*
 * Handle what has completed, as long as the submission queue has room for what that may bring; the
 * rest waits for the next round, which begins with a submission.
 */
static int handle_cqes(struct queue_thread *q)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0, started = q->started;
	int ret = 0;

	io_uring_for_each_cqe(&q->ring, head, cqe)
	{
		if (io_uring_sq_space_left(&q->ring) < TARGET_MAX_SQES)
			break;
		n++;
		ret = handle_cqe(q, cqe);
		if (ret < 0)
			break;
	}
	io_uring_cq_advance(&q->ring, n);
	if (q->started != started)
		pace_count(&q->pace, q->started - started);
	return ret;
}

/*
 * A device that nobody uses needs no memory: after a tick without a request the buffers' pages go
 * back. Only where no buffer can hold anything: with neither a request nor a completion nor a
 * commit on its way, and on a ring whose task work, in which the driver copies, runs in
 * io_uring_enter() alone.
 */
static void give_back_memory(struct queue_thread *q)
{
	if (q->started == q->started_at_tick && q->in_flight == 0 &&
	    (q->ring.flags & IORING_SETUP_DEFER_TASKRUN) && io_uring_cq_ready(&q->ring) == 0 &&
	    io_uring_sq_ready(&q->ring) == 0)
		ublk_queue_give_back(&q->queue);
	q->started_at_tick = q->started;
}

static bool worth_another_round(int ret)
{
	/* EBUSY: completions that the kernel could not put into the ring yet; reap first. */
	return ret >= 0 || ret == -EINTR || ret == -EAGAIN || ret == -EBUSY;
}

/* Returns 0 when the driver has given up all tags. */
static int thread_loop(struct queue_thread *q, struct server_error *error)
{
	bool drained = false, idle;
	int ret;

	while (q->queue.fetching > 0 || q->in_flight > 0) {
		/* The last commits must have reached the driver before we say that we are done. */
		idle = q->draining && q->in_flight == 0;
		if (idle && !drained && io_uring_sq_ready(&q->ring) == 0) {
			drained = true;
			thread_set_state(q, THREAD_DRAINED);
		}
		deadline_arm(&q->deadline, q->in_flight > 0 || q->queue.any_populated, &q->ring,
			     USER_DATA_TICK);
		ret = uring_submit_and_wait(&q->ring, q->ring_registered, idle && !drained ? 0 : 1);
		if (!worth_another_round(ret))
			return server_error_set(error, ret, "queue %u: io_uring_enter failed: %s",
						q->id, strerror(-ret));
		ret = handle_cqes(q);
		if (ret < 0)
			return server_error_set(error, ret,
						"queue %u: the driver refused a command: %s", q->id,
						strerror(-ret));
		if (q->ticked)
			give_back_memory(q);
		q->ticked = false;
	}
	return 0;
}

/* The kernel's best first; each line needs a newer kernel than the next. */
static int setup_ring(struct io_uring *ring, unsigned int depth)
{
	static const unsigned int flags[] = {
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
		0,
	};
	int ret = -EINVAL;

	for (unsigned int i = 0; i < sizeof(flags) / sizeof(*flags) && ret == -EINVAL; i++) {
		/* A tag has one command or one of the target's operations at a time, mostly. */
		struct io_uring_params params = {
			.flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
				 IORING_SETUP_R_DISABLED,
			.cq_entries = TARGET_MAX_SQES * depth + 8,
		};

		ret = io_uring_queue_init_params(depth + TARGET_MAX_SQES + 1, ring, &params);
	}
	return ret;
}

static const char *explain_fetch_error(int err)
{
	switch (-err) {
	case ENODEV:
		return "the device was stopped before its server was ready";
	case EBUSY:
	case EINVAL:
		return "the driver refuses the fetch: the device is served by another process "
		       "already, or --queues, --depth or --flags are not those of the device";
	default:
		return strerror(-err);
	}
}

static int thread_setup(struct queue_thread *q, struct server_error *error)
{
	const struct queue_threads *threads = q->threads;
	const struct options *options = threads->options;
	struct io_uring_sqe *sqe;
	int ret;

	ret = setup_ring(&q->ring, options->depth);
	if (ret < 0) {
		char why[UBLK_URING_TEXT_MAX];

		ublk_uring_explain(ret, &options->uring, why, sizeof(why));
		/* not a right that the caller lacks, nor a wrong argument: it cannot be done here
		 */
		return server_error_set(error, ret == -EPERM ? ENOSYS : ret,
					"cannot set up io_uring: %s", why);
	}
	/* Both registrations save a look-up each time; neither is vital. */
	q->ring_registered = io_uring_register_ring_fd(&q->ring) == 1;

	ret = ublk_queue_init(&q->queue, &q->ring, threads->char_fd, q->id, options->depth,
			      options->max_io_size, options->flags);
	/* The drivers before 6.16 remember for ever who mapped a device first, and refuse others.
	 */
	if (ret < 0)
		return server_error_set(
			error, ret,
			"cannot map queue %u of device %u: %s (--queues and --depth "
			"must be those of the device, and an older kernel lets "
			"nobody serve a device after another process did)",
			q->id, options->dev_id, strerror(-ret));
	if (io_uring_register_files(&q->ring, &threads->char_fd, 1) == 0)
		ublk_queue_use_registered(&q->queue, 0);

	q->requests = calloc(options->depth, sizeof(*q->requests));
	if (!q->requests ||
	    deadline_init(&q->deadline, options->depth, &q->threads->late_changes) < 0)
		return server_error_set(error, ENOMEM, "out of memory");
	if (threads->ops->init_queue) {
		ret = threads->ops->init_queue(threads->target, &q->ring, &q->target_data);
		if (ret < 0)
			return server_error_set(error, ret, "target %s cannot set up queue %u: %s",
						threads->ops->name, q->id, strerror(-ret));
	}
	for (unsigned int tag = 0; tag < options->depth; tag++) {
		q->requests[tag].queue = q;
		q->requests[tag].target = threads->target;
		q->requests[tag].queue_data = q->target_data;
		q->requests[tag].tag = (uint16_t)tag;
	}

	ret = confine_ring(&q->ring);
	if (ret < 0)
		return server_error_set(error, ret, "cannot restrict io_uring: %s", strerror(-ret));
	sqe = io_uring_get_sqe(&q->ring);
	io_uring_prep_poll_add(sqe, threads->stop_fd, POLLIN);
	sqe->user_data = USER_DATA_STOP;
	ret = ublk_queue_fetch_all(&q->queue);
	if (ret < 0)
		return server_error_set(error, ret, "queue %u of device %u: %s", q->id,
					options->dev_id, explain_fetch_error(ret));
	return 0;
}

/* Before the ring and its memory: both belong on the processors that will use them. */
static void thread_pin(const struct queue_thread *q)
{
	const struct cpu_list *lists = q->threads->options->queue_cpus;
	int ret;

	if (!lists || !lists[q->id].set)
		return;
	/* A cpuset (a container's, say) may forbid it. It is a wish for speed, not a need. */
	ret = pthread_setaffinity_np(pthread_self(), lists[q->id].size, lists[q->id].set);
	if (ret)
		server_log("queue %u is not bound to its processors: %s", q->id, strerror(ret));
}

static void *thread_main(void *data)
{
	struct queue_thread *q = data;
	struct queue_threads *threads = q->threads;
	struct server_error error = { 0 };
	char name[16];

	snprintf(name, sizeof(name), "ublk-q%u", q->id);
	pthread_setname_np(pthread_self(), name);
	thread_pin(q);
	pace_init(&q->pace);

	/* On failure everything stays as it is: the process ends, and the kernel cleans up. */
	if (thread_setup(q, &error) < 0) {
		thread_fail(q, &error);
		return NULL;
	}
	thread_set_state(q, THREAD_READY);
	if (thread_loop(q, &error) < 0) {
		thread_fail(q, &error);
		return NULL;
	}

	if (threads->ops->exit_queue)
		threads->ops->exit_queue(threads->target, q->target_data);
	io_uring_queue_exit(&q->ring);
	ublk_queue_exit(&q->queue);
	deadline_exit(&q->deadline);
	free(q->requests);
	thread_set_state(q, THREAD_LEFT);
	return NULL;
}

static unsigned int count_in_state(const struct queue_threads *threads, enum thread_state at_least)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < threads->n; i++)
		n += threads->queues[i].state >= at_least;
	return n;
}

static int create_threads(struct queue_threads *threads, struct server_error *error)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int ret = 0;

	/* Signals are the main thread's business, so that no system call here is interrupted. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK_SIZE);
	for (unsigned int i = 0; i < threads->n && ret == 0; i++) {
		threads->queues[i].threads = threads;
		threads->queues[i].id = (uint16_t)i;
		ret = pthread_create(&threads->queues[i].thread, &attr, thread_main,
				     &threads->queues[i]);
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		return server_error_set(error, ret,
					"cannot start a thread for each of %u queues: %s",
					threads->n, strerror(ret));
	return 0;
}

int queue_threads_start(const struct options *options, const struct target_ops *ops, void *target,
			int char_fd, struct queue_threads **out, struct server_error *error)
{
	struct queue_threads *threads;
	int ret;

	threads = calloc(1, sizeof(*threads) + options->queues * sizeof(*threads->queues));
	if (!threads)
		return server_error_set(error, ENOMEM, "out of memory");
	*out = threads;
	threads->options = options;
	threads->ops = ops;
	threads->target = target;
	threads->char_fd = char_fd;
	threads->n = options->queues;
	pthread_mutex_init(&threads->lock, NULL);
	pthread_cond_init(&threads->started, NULL);
	threads->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	threads->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (threads->stop_fd < 0 || threads->event_fd < 0)
		return server_error_set(error, errno, "cannot make an eventfd: %s",
					strerror(errno));

	ret = create_threads(threads, error);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&threads->lock);
	while (!threads->error.err && count_in_state(threads, THREAD_READY) < threads->n)
		pthread_cond_wait(&threads->started, &threads->lock);
	if (threads->error.err) {
		*error = threads->error;
		ret = -error->err;
	}
	pthread_mutex_unlock(&threads->lock);
	return ret;
}

int queue_threads_get_fd(const struct queue_threads *threads)
{
	return threads->event_fd;
}

enum queue_threads_state queue_threads_get_state(struct queue_threads *threads,
						 struct server_error *error)
{
	enum queue_threads_state state = QUEUE_THREADS_RUNNING;
	eventfd_t count;

	eventfd_read(threads->event_fd, &count);
	pthread_mutex_lock(&threads->lock);
	if (threads->error.err) {
		*error = threads->error;
		state = QUEUE_THREADS_FAILED;
	} else if (count_in_state(threads, THREAD_LEFT) == threads->n) {
		state = QUEUE_THREADS_LEFT;
	} else if (count_in_state(threads, THREAD_DRAINED) == threads->n) {
		state = QUEUE_THREADS_DRAINED;
	}
	pthread_mutex_unlock(&threads->lock);
	return state;
}

void queue_threads_drain(struct queue_threads *threads)
{
	eventfd_write(threads->stop_fd, 1);
}

void queue_threads_free(struct queue_threads *threads)
{
	for (unsigned int i = 0; i < threads->n; i++)
		pthread_join(threads->queues[i].thread, NULL);
	close(threads->stop_fd);
	close(threads->event_fd);
	pthread_cond_destroy(&threads->started);
	pthread_mutex_destroy(&threads->lock);
	free(threads);
}
