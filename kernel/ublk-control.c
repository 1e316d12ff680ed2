/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control ring: commands go in, callbacks come out. See ublk-control.h.
 *
 * Nearly every command may sleep, so each goes to a kernel worker: submitting never blocks. A
 * deadline is a timeout in the same ring; when it fires, the command is cancelled, and the worker's
 * wait is interrupted.
 *
 * An op lives as long as the kernel owes a completion that names it (the command's own, those of
 * its timers and of its cancellations): the completion carries the op's address, and the command's
 * worker writes to the op's payload. Whether its callback was called is another matter.
 */
#include "ublk-control-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ublk-message.h"

#define SQ_ENTRIES 64U
/* Workers beside those that wait, so that quick commands never queue behind slow ones. */
#define SPARE_WORKERS 4U
#define MAX_BLOCKED   65536U
/* How long ublk_control_close() waits for what it has cancelled. */
#define CLOSE_TIMEOUT_MS 2000

/*
 * A worker's wait is also interrupted by what is none of the command's business: the process being
 * stopped and continued, or the machine suspended. Such a command starts again, this often.
 */
#define MAX_RESTARTS 64

/* What a completion is about: the low bits of user_data, the rest being the op's address. */
enum cqe_kind {
	CQE_COMMAND,
	CQE_DEADLINE,
	CQE_GRACE,
	CQE_CANCEL, /* the answer to a cancellation, which says nothing that matters */
	CQE_KIND_MASK = 3,
};

struct ublk_control_op {
	struct ublk_control *ctl;
	struct ublk_control_op *prev, *next;
	struct ublk_message message;
	ublk_control_done done; /* NULL once it was called */
	void *user_data;

	unsigned int owed; /* completions that the kernel still owes */
	unsigned int restarts;
	int given_up; /* why it was cancelled: -ETIMEDOUT, -ECANCELED, or 0 */
	bool running; /* the command is with the kernel */
	bool deadline_armed;
	bool grace_armed;
	/* Read when the kernel takes the entry, which may be later than its preparation. */
	struct __kernel_timespec deadline;
	struct __kernel_timespec grace;
};

_Static_assert(_Alignof(struct ublk_control_op) > CQE_KIND_MASK, "no room for the kind");

static uint64_t tag_op(const struct ublk_control_op *op, enum cqe_kind kind)
{
	return (uint64_t)(uintptr_t)op | kind;
}

static struct __kernel_timespec timespec_of_ms(unsigned int ms)
{
	return (struct __kernel_timespec){
		.tv_sec = ms / 1000,
		.tv_nsec = (long long)(ms % 1000) * 1000000,
	};
}

/* -------------------------------------------------------------------------------------------------
 * Entries in, out of the submission queue
 */

/* Give the kernel what is prepared. What it does not take stays in the queue for the next time. */
static int flush(struct ublk_control *ctl)
{
	int ret = 0;

	for (int attempt = 0; attempt < 16 && io_uring_sq_ready(&ctl->ring) > 0; attempt++) {
		ret = io_uring_submit(&ctl->ring);
		if (ret < 0 && ret != -EINTR && ret != -EAGAIN)
			break;
		if (ret <= 0)
			sched_yield();
	}
	return io_uring_sq_ready(&ctl->ring) == 0 ? 0 : ret < 0 ? ret : -EAGAIN;
}

/* An entry, all zeroes, or NULL when the queue is full and the kernel takes nothing. */
static struct io_uring_sqe *get_sqe(struct ublk_control *ctl)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ctl->ring);

	if (!sqe) {
		flush(ctl);
		sqe = io_uring_get_sqe(&ctl->ring);
	}
	if (sqe)
		memset(sqe, 0, UBLK_SQE128_SIZE);
	return sqe;
}

/* An entry that the kernel has not taken becomes one that does nothing and names nobody. */
static void disarm_sqe(struct io_uring_sqe *sqe)
{
	memset(sqe, 0, UBLK_SQE128_SIZE);
	sqe->opcode = IORING_OP_NOP;
}

static struct io_uring_sqe *prep_timer(struct ublk_control_op *op, enum cqe_kind kind,
				       struct __kernel_timespec *ts)
{
	struct io_uring_sqe *sqe = get_sqe(op->ctl);

	if (!sqe)
		return NULL;
	io_uring_prep_timeout(sqe, ts, 0, 0);
	sqe->user_data = tag_op(op, kind);
	op->owed++;
	return sqe;
}

static bool prep_cancel(struct ublk_control_op *op, enum cqe_kind kind)
{
	struct io_uring_sqe *sqe = get_sqe(op->ctl);

	if (!sqe)
		return false;
	sqe->opcode = IORING_OP_ASYNC_CANCEL;
	sqe->fd = -1;
	sqe->addr = tag_op(op, kind);
	sqe->user_data = tag_op(op, CQE_CANCEL);
	op->owed++;
	return true;
}

/* Hand the command to the kernel, the first time together with its deadline. */
static int issue(struct ublk_control_op *op)
{
	bool with_deadline = op->message.cmd.timeout_ms != UBLK_NO_TIMEOUT && !op->deadline_armed;
	struct io_uring_sqe *command = get_sqe(op->ctl);
	struct io_uring_sqe *deadline = NULL;
	unsigned int prepared = 1;
	int ret;

	if (!command)
		return -EAGAIN;
	ublk_message_prep(&op->message, op->ctl->fd, op->ctl->legacy, command);
	command->user_data = tag_op(op, CQE_COMMAND);
	op->owed++;
	op->running = true;
	if (with_deadline) {
		deadline = prep_timer(op, CQE_DEADLINE, &op->deadline);
		if (!deadline) {
			disarm_sqe(command);
			op->owed--;
			op->running = false;
			return -EAGAIN;
		}
		op->deadline_armed = true;
		prepared++;
	}

	ret = flush(op->ctl);
	if (ret == 0 || io_uring_sq_ready(&op->ctl->ring) < prepared)
		return 0; /* a deadline that was not taken yet goes in with the next flush */
	disarm_sqe(command);
	op->owed--;
	op->running = false;
	if (deadline) {
		disarm_sqe(deadline);
		op->owed--;
		op->deadline_armed = false;
	}
	return -EAGAIN;
}

/* -------------------------------------------------------------------------------------------------
 * The life of an op
 */

static void op_link(struct ublk_control_op *op)
{
	op->next = op->ctl->ops;
	if (op->next)
		op->next->prev = op;
	op->ctl->ops = op;
}

static void op_free(struct ublk_control_op *op)
{
	if (op->prev)
		op->prev->next = op->next;
	else if (op->ctl->ops == op)
		op->ctl->ops = op->next;
	if (op->next)
		op->next->prev = op->prev;
	ublk_message_exit(&op->message);
	free(op);
}

/* Tell the submitter. From here on the op is nobody's but the kernel's. */
static int op_finish(struct ublk_control_op *op, int res)
{
	ublk_control_done done = op->done;
	struct ublk_control *ctl = op->ctl;

	if (!done)
		return 0;
	op->done = NULL;
	ctl->dispatching++;
	done(res, op->message.payload, op->message.len, op->user_data);
	ctl->dispatching--;
	return 1;
}

/*
 * Nobody wants to wait any longer. If the cancellation finds no entry (the kernel takes nothing,
 * and the queue is full of what it did not take), the command's own end has to suffice.
 */
static void op_give_up(struct ublk_control_op *op, int why)
{
	if (op->given_up)
		return;
	op->given_up = why;
	prep_cancel(op, CQE_COMMAND);
	if (!(op->message.command->traits & UBLK_COMMAND_CREATES))
		op->grace_armed = prep_timer(op, CQE_GRACE, &op->grace) != NULL;
	flush(op->ctl);
}

/* The command has ended: its timers need not run out. */
static void op_retire_timers(struct ublk_control_op *op)
{
	if (op->deadline_armed)
		prep_cancel(op, CQE_DEADLINE);
	if (op->grace_armed)
		prep_cancel(op, CQE_GRACE);
	flush(op->ctl);
}

/* Whether the answer is a reason to ask (again); if so, that has been done. */
static bool op_issue_again(struct ublk_control_op *op, int res)
{
	struct ublk_control *ctl = op->ctl;

	if (!op->done || op->given_up)
		return false;

	if (op->message.command->traits & UBLK_COMMAND_RESTARTS && res == -EINTR &&
	    op->restarts < MAX_RESTARTS) {
		op->restarts++;
		return issue(op) == 0;
	}

	if (ublk_message_falls_back(&op->message, ctl->legacy || ctl->test_no_dev_info2, res))
		return issue(op) == 0;
	return false;
}

static int op_result(const struct ublk_control_op *op, int res)
{
	/* A worker that was interrupted says EINTR; one that had not begun yet, ECANCELED. */
	if ((res == -EINTR || res == -ECANCELED) && op->given_up)
		return op->given_up;
	return ublk_message_result(&op->message, res);
}

/* Returns how many callbacks were called. */
static int op_handle_cqe(struct ublk_control_op *op, enum cqe_kind kind, int res)
{
	int called = 0;

	switch (kind) {
	case CQE_COMMAND:
		op->running = false;
		if (op->ctl->test_no_dev_info2 && op->message.cmd.op == UBLK_U_CMD_GET_DEV_INFO2 &&
		    !op->message.info1)
			res = -EOPNOTSUPP;
		if (op_issue_again(op, res))
			break;
		op_retire_timers(op);
		called = op_finish(op, op_result(op, res));
		break;
	case CQE_DEADLINE:
		op->deadline_armed = false;
		if (res == -ETIME && op->running)
			op_give_up(op, -ETIMEDOUT);
		break;
	case CQE_GRACE:
		op->grace_armed = false;
		if (res == -ETIME && op->running)
			called = op_finish(op, op->given_up);
		break;
	default:
		break;
	}
	/* Not before: by waiting, the callback may come to this op's other completions. */
	if (--op->owed == 0)
		op_free(op);
	return called;
}

/* -------------------------------------------------------------------------------------------------
 * What others see
 */

int ublk_control_submit(struct ublk_control *ctl, const struct ublk_control_cmd *cmd,
			ublk_control_done done, void *user_data, struct ublk_control_op **op_out)
{
	struct ublk_control_op *op;
	int ret;

	if (!done || cmd->personality > UBLK_PERSONALITY_MAX)
		return -EINVAL;
	op = calloc(1, sizeof(*op));
	if (!op)
		return -ENOMEM;
	op->ctl = ctl;
	op->done = done;
	op->user_data = user_data;
	op->deadline = timespec_of_ms(cmd->timeout_ms);
	op->grace = timespec_of_ms(UBLK_CANCEL_GRACE_MS);
	op_link(op);

	ret = ublk_message_init(&op->message, cmd);
	if (ret == 0 && !ublk_command_is_known(op->message.command, ctl->legacy, ctl->features))
		ret = -EOPNOTSUPP;
	if (ret == 0)
		ret = issue(op);
	if (ret < 0) {
		op_free(op);
		return ret;
	}
	if (op_out)
		*op_out = op;
	return 0;
}

void ublk_control_cancel(struct ublk_control *ctl, struct ublk_control_op *op)
{
	if (op->running)
		op_give_up(op, -ECANCELED);
}

int ublk_control_dispatch(struct ublk_control *ctl)
{
	struct io_uring_cqe *cqe;
	int called = 0;

	flush(ctl);
	/* This also fetches what did not fit into the completion queue and waits in the kernel. */
	while (io_uring_peek_cqe(&ctl->ring, &cqe) == 0 && cqe) {
		uint64_t user_data = cqe->user_data;
		int res = cqe->res;

		/* Before the callback, which may come here again. */
		io_uring_cqe_seen(&ctl->ring, cqe);
		if (user_data == 0)
			continue; /* of disarm_sqe() */
		called += op_handle_cqe(
			(struct ublk_control_op *)(uintptr_t)(user_data & ~(uint64_t)CQE_KIND_MASK),
			(enum cqe_kind)(user_data & CQE_KIND_MASK), res);
	}
	return called;
}

int ublk_control_get_fd(const struct ublk_control *ctl)
{
	return ctl->ring.ring_fd;
}

int ublk_control_get_ring_fd(const struct ublk_control *ctl)
{
	return ctl->ring.ring_fd;
}

uint64_t ublk_control_features(const struct ublk_control *ctl)
{
	return ctl->features;
}

void ublk_control_test_set_legacy(struct ublk_control *ctl, bool legacy)
{
	ctl->legacy = legacy;
}

/* -------------------------------------------------------------------------------------------------
 * Opening and closing
 */

/*
 * Learn once which encoding the driver understands, in place of guessing it from the errors of
 * commands that matter. GET_FEATURES (6.5 and later) settles it. Before, an ADD_DEV without a
 * payload does, which is refused before anything is looked at or locked: as invalid where the
 * number is understood, and where it is not, as unknown or as being about a device that does not
 * exist.
 */
static int probe_encoding(struct ublk_control *ctl)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_FEATURES,
		.dev_id = UBLK_DEV_ID_ANY,
		.buf = &ctl->features,
		.len = UBLK_FEATURES_LEN,
	};
	int get_features, ret;

	get_features = ublk_control_run(ctl, &cmd);
	/* /dev/null takes any command and does nothing. */
	if (get_features >= 0)
		return ctl->features ? 0 : -ENOTTY;

	cmd = (struct ublk_control_cmd){ .op = UBLK_U_CMD_ADD_DEV, .dev_id = UBLK_DEV_ID_ANY };
	ret = ublk_control_run(ctl, &cmd);
	/* A device that takes no commands at all is not the driver's. */
	if (ret == -EOPNOTSUPP && get_features == -EOPNOTSUPP)
		return -ENOTTY;
	ctl->legacy = ret != -EINVAL;
	return 0;
}

static int open_control_node(const char *path)
{
	struct stat st;
	int fd, ret;

	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		/* A node that was left without its driver. */
		if (errno == ENXIO || errno == ENODEV)
			return -ENOENT;
		/* A cgroup's refusal, not to be taken for io_uring's. */
		return errno == EPERM ? -EACCES : -errno;
	}
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode)) {
		ret = -ENOTTY;
		close(fd);
		return ret;
	}
	return fd;
}

static int init_ring(struct ublk_control *ctl, unsigned int max_blocked)
{
	/*
	 * Not SINGLE_ISSUER or DEFER_TASKRUN: another process, the child of ublk-creds.c, registers
	 * credentials with this ring, and completions must make it readable without a further call.
	 * A command, its timers and their cancellations make a handful of completions; what does
	 * not fit is kept by the kernel, at a price.
	 */
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
			 IORING_SETUP_SUBMIT_ALL,
		.cq_entries = 2 * SQ_ENTRIES + 4 * max_blocked,
	};
	/*
	 * A command on a character device counts as bounded work, of which there are by default
	 * only as many workers as the ring has entries, at most four for each processor. The second
	 * number is for unbounded work: nothing of ours, but that is the kernel's affair.
	 */
	unsigned int workers[2] = { max_blocked + SPARE_WORKERS, max_blocked + SPARE_WORKERS };
	int ret;

	ret = io_uring_queue_init_params(SQ_ENTRIES, &ctl->ring, &params);
	if (ret < 0)
		return ret;
	/*
	 * The queues are shared memory: a child of ours, whoever's it becomes, has no part in them.
	 * liburing 2.3 does not count with the double size of the entries.
	 */
	io_uring_ring_dontfork(&ctl->ring);
	madvise(ctl->ring.sq.sqes, ctl->ring.sq.ring_entries * UBLK_SQE128_SIZE, MADV_DONTFORK);
	ret = io_uring_register_iowq_max_workers(&ctl->ring, workers);
	if (ret < 0) {
		io_uring_queue_exit(&ctl->ring);
		return ret;
	}
	return 0;
}

int ublk_control_open(const char *path, unsigned int max_blocked, struct ublk_control **out)
{
	struct ublk_control *ctl;
	int ret;

	if (max_blocked > MAX_BLOCKED)
		return -EINVAL;
	ctl = calloc(1, sizeof(*ctl));
	if (!ctl)
		return -ENOMEM;
	ctl->fd = open_control_node(path ? path : UBLK_CONTROL_PATH);
	if (ctl->fd < 0) {
		ret = ctl->fd;
		free(ctl);
		return ret;
	}
	ret = init_ring(ctl, max_blocked);
	if (ret < 0) {
		close(ctl->fd);
		free(ctl);
		return ret;
	}
	ret = probe_encoding(ctl);
	if (ret < 0) {
		ublk_control_close(ctl);
		return ret;
	}
	*out = ctl;
	return 0;
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void ublk_control_close(struct ublk_control *ctl)
{
	long long end = now_ms() + CLOSE_TIMEOUT_MS;
	struct ublk_control_op *op, *next;

	if (!ctl)
		return;
	assert(ctl->dispatching == 0);

	for (op = ctl->ops; op; op = op->next) {
		op->done = NULL;
		if (op->running)
			prep_cancel(op, CQE_COMMAND);
		op_retire_timers(op);
	}
	while (ctl->ops && now_ms() < end) {
		struct pollfd pfd = { .fd = ctl->ring.ring_fd, .events = POLLIN };

		if (ublk_control_dispatch(ctl) == 0 && ctl->ops)
			poll(&pfd, 1, 100);
	}

	/*
	 * What is still with the kernel is stuck in a worker, which may yet write to its payload:
	 * that memory is given up, not freed. The ring itself is the kernel's until it needs it no
	 * more.
	 */
	for (op = ctl->ops; op; op = next) {
		next = op->next;
		if (op->running)
			op->message.memory = NULL;
		ublk_message_exit(&op->message);
		free(op);
	}
	io_uring_queue_exit(&ctl->ring);
	close(ctl->fd);
	free(ctl);
}
