/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands that wait: START_DEV for a server that never comes, DEL_DEV for a node that somebody
 * holds. Their deadline ends them, cancelling ends them, closing the ring ends them, and nothing
 * else does.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "driver-util.h"
#include "ublk-control-internal.h"
#include "ublk-node.h"

#define SIZE (64ULL << 20)

struct outcome {
	int calls;
	int res;
	long long at;
};

static void note(int res, const void *buf, size_t len, void *user_data)
{
	struct outcome *outcome = user_data;

	outcome->calls++;
	outcome->res = res;
	outcome->at = util_now_ms();
}

/* Dispatch until `outcome` has come or the time is over. */
static void wait_for(struct ublk_control *ctl, const struct outcome *outcome, int ms)
{
	long long end = util_now_ms() + ms;

	while (outcome->calls == 0 && util_now_ms() < end) {
		struct pollfd pfd = { .fd = ublk_control_get_fd(ctl), .events = POLLIN };

		poll(&pfd, 1, 50);
		ublk_control_dispatch(ctl);
	}
}

static struct ublk_control_cmd start_command(uint32_t dev_id, unsigned int timeout_ms)
{
	return (struct ublk_control_cmd){
		.op = UBLK_U_CMD_START_DEV,
		.dev_id = dev_id,
		.data = (uint64_t)getpid(),
		.timeout_ms = timeout_ms,
	};
}

static void test_timeout(struct ublk_control *ctl, uint32_t dev_id)
{
	long long begin = util_now_ms(), took;

	STEP("START_DEV without a server ends at its deadline");
	CHECK_EQ(ublk_control_start_dev(ctl, dev_id, getpid(), 300), -ETIMEDOUT);
	took = util_now_ms() - begin;
	/* Well before the grace period that an unwilling command would be given. */
	CHECK(took >= 300 && took < 300 + UBLK_CANCEL_GRACE_MS);
}

static void test_cancel(struct ublk_control *ctl, uint32_t dev_id)
{
	struct ublk_control_cmd cmd = start_command(dev_id, 60000);
	struct outcome outcome = { 0 };
	struct ublk_control_op *op;
	long long cancelled;

	STEP("cancelled, it says so at once, long before its deadline");
	CHECK_OK(ublk_control_submit(ctl, &cmd, note, &outcome, &op));
	wait_for(ctl, &outcome, 200);
	CHECK_EQ(outcome.calls, 0);
	cancelled = util_now_ms();
	ublk_control_cancel(ctl, op);
	CHECK_EQ(outcome.calls, 0);
	wait_for(ctl, &outcome, 5000);
	CHECK_EQ(outcome.calls, 1);
	CHECK_EQ(outcome.res, -ECANCELED);
	CHECK(outcome.at - cancelled < UBLK_CANCEL_GRACE_MS);

	STEP("also when it is cancelled twice, before it has begun, and after its deadline has "
	     "passed");
	outcome = (struct outcome){ 0 };
	CHECK_OK(ublk_control_submit(ctl, &cmd, note, &outcome, &op));
	ublk_control_cancel(ctl, op);
	ublk_control_cancel(ctl, op);
	wait_for(ctl, &outcome, 5000);
	CHECK_EQ(outcome.res, -ECANCELED);
	outcome = (struct outcome){ 0 };
	cmd.timeout_ms = 50;
	CHECK_OK(ublk_control_submit(ctl, &cmd, note, &outcome, &op));
	usleep(200000);
	ublk_control_cancel(ctl, op);
	wait_for(ctl, &outcome, 5000);
	CHECK(outcome.res == -ECANCELED || outcome.res == -ETIMEDOUT);
	/* Nothing comes twice. */
	usleep(100000);
	ublk_control_dispatch(ctl);
	CHECK_EQ(outcome.calls, 1);
}

static void test_no_timeout(struct ublk_control *ctl, uint32_t dev_id)
{
	struct ublk_control_cmd cmd = start_command(dev_id, UBLK_NO_TIMEOUT);
	struct outcome outcome = { 0 };
	struct ublk_control_op *op;

	STEP("without a deadline it waits on");
	CHECK_OK(ublk_control_submit(ctl, &cmd, note, &outcome, &op));
	wait_for(ctl, &outcome, 1500);
	CHECK_EQ(outcome.calls, 0);
	ublk_control_cancel(ctl, op);
	wait_for(ctl, &outcome, 5000);
	CHECK_EQ(outcome.res, -ECANCELED);
}

static void test_unused_deadline(struct ublk_control *ctl, uint32_t dev_id)
{
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_DEV_INFO2,
		.dev_id = dev_id,
		.buf = &info,
		.len = sizeof(info),
		.timeout_ms = 200,
	};
	struct outcome outcome = { 0 };

	STEP("a command that ends before its deadline is not called back again when that passes");
	CHECK_OK(ublk_control_submit(ctl, &cmd, note, &outcome, NULL));
	wait_for(ctl, &outcome, 5000);
	CHECK_EQ(outcome.res, 0);
	usleep(400000);
	ublk_control_dispatch(ctl);
	CHECK_EQ(outcome.calls, 1);
	/* The submitter's memory is its own: the answer is in the callback's. */
	CHECK_EQ(info.max_io_buf_bytes, 0);

	STEP("and is forgotten before it passes");
	cmd.timeout_ms = 60000;
	outcome = (struct outcome){ 0 };
	CHECK_OK(ublk_control_submit(ctl, &cmd, note, &outcome, NULL));
	wait_for(ctl, &outcome, 5000);
	CHECK_EQ(outcome.res, 0);
	for (int i = 0; i < 100 && ctl->ops; i++) {
		usleep(20000);
		ublk_control_dispatch(ctl);
	}
	CHECK(!ctl->ops);
}

/* Stops its parent and continues it, three times: each time its workers' waits are interrupted. */
static int stop_and_go(void *arg)
{
	for (int i = 0; i < 3; i++) {
		usleep(200000);
		kill(getppid(), SIGSTOP);
		usleep(100000);
		kill(getppid(), SIGCONT);
	}
	return 0;
}

static void test_interrupted(struct ublk_control *ctl, uint32_t dev_id)
{
	pid_t child = util_fork(stop_and_go, NULL);
	long long begin = util_now_ms();

	STEP("a process that is stopped and continued does not lose what it waits for");
	CHECK_EQ(ublk_control_start_dev(ctl, dev_id, getpid(), 2000), -ETIMEDOUT);
	CHECK(util_now_ms() - begin >= 2000);
	CHECK_EQ(util_wait(child), 0);
}

static void test_held(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 1, 0, SIZE), again;
	char path[UBLK_NODE_PATH_MAX];
	long long end;
	int ret, fd;

	fd = open(ublk_node_path(UBLK_NODE_CHAR, info.dev_id, path), O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	STEP("DEL_DEV of a device whose node is held ends at its deadline; the number is not free");
	CHECK_EQ(ublk_control_del_dev(ctl, info.dev_id, 300), -ETIMEDOUT);
	again = util_dev_info(1, 1, 0);
	again.dev_id = info.dev_id;
	CHECK_EQ(ublk_control_add_dev(ctl, &again), -EEXIST);

	STEP("… until the holder lets go");
	close(fd);
	end = util_now_ms() + 5000;
	while ((ret = ublk_control_add_dev(ctl, &again)) == -EEXIST && util_now_ms() < end)
		usleep(10000);
	CHECK_OK(ret);
	util_del_dev(ctl, again.dev_id);
}

static void test_close(uint32_t dev_id)
{
	struct ublk_control *ctl = util_open_control();
	struct ublk_control_cmd cmd = start_command(dev_id, 60000);
	struct outcome outcome = { 0 };
	long long begin;

	STEP("a ring that is closed with commands in flight calls nobody and takes no time");
	for (int i = 0; i < 8; i++)
		CHECK_OK(ublk_control_submit(ctl, &cmd, note, &outcome, NULL));
	usleep(100000);
	begin = util_now_ms();
	ublk_control_close(ctl);
	CHECK(util_now_ms() - begin < 1500);
	CHECK_EQ(outcome.calls, 0);
	ublk_control_close(NULL);
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 1, 0, SIZE);

	test_timeout(ctl, info.dev_id);
	test_cancel(ctl, info.dev_id);
	test_no_timeout(ctl, info.dev_id);
	test_unused_deadline(ctl, info.dev_id);
	test_interrupted(ctl, info.dev_id);
	test_held(ctl);
	test_close(info.dev_id);
	util_del_dev(ctl, info.dev_id);
	ublk_control_close(ctl);
	return 0;
}
