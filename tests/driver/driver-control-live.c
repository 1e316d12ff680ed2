/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices with a server, of both kinds: start, another size, stop; a kernel without a command says
 * the same for both kinds; and a command that the kernel cannot interrupt does not hold its caller.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver-util.h"
#include "ublk-creds.h"
#include "ublk-node.h"

#define SIZE (64ULL << 20)

static uint64_t get_block_size64(uint32_t dev_id)
{
	char path[UBLK_NODE_PATH_MAX];
	uint64_t size = 0;
	int fd = open(ublk_node_path(UBLK_NODE_BLOCK, dev_id, path), O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(ioctl(fd, BLKGETSIZE64, &size) == 0);
	close(fd);
	return size;
}

static void test_live(struct ublk_control *ctl, int personality, uid_t uid, gid_t gid)
{
	bool can_resize = ublk_control_features(ctl) & UBLK_F_UPDATE_SIZE;
	uint64_t flags = can_resize ? UBLK_F_UPDATE_SIZE : 0;
	struct ublksrv_ctrl_dev_info info, got;
	struct ublk_params params;
	char path[UBLK_NODE_PATH_MAX];
	pid_t server;
	int ret;

	if (personality)
		info = util_add_dev_as(ctl, personality, uid, gid, 2, 4, flags, SIZE);
	else
		info = util_add_dev(ctl, 2, 4, flags, SIZE);

	STEP("start: once the queues have fetched");
	server = util_serve_null(&info, uid, gid);
	CHECK_OK(util_run_as(ctl, personality, UBLK_U_CMD_START_DEV, info.dev_id, (uint64_t)server,
			     NULL, 0));
	CHECK_OK(ublk_control_get_dev_info(ctl, info.dev_id, &got));
	CHECK_EQ(got.state, UBLK_S_DEV_LIVE);
	CHECK_EQ(got.ublksrv_pid, server);
	CHECK_EQ(get_block_size64(info.dev_id), SIZE);
	CHECK_OK(ublk_control_get_params(ctl, info.dev_id, &params));
	CHECK(params.devt.disk_major != 0);

	STEP("a live device is not started again or given other parameters");
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_START_DEV, info.dev_id, (uint64_t)server,
			     NULL, 0),
		 -EEXIST);
	params = util_params(SIZE);
	CHECK_EQ(ublk_control_set_params(ctl, info.dev_id, &params), -EACCES);

	STEP("another size: %s", can_resize ? "taken" : "not with this kernel");
	ret = util_run_as(ctl, personality, UBLK_U_CMD_UPDATE_SIZE, info.dev_id, 2 * SIZE >> 9,
			  NULL, 0);
	CHECK_EQ(ret, can_resize ? 0 : -EOPNOTSUPP);
	CHECK_EQ(get_block_size64(info.dev_id), can_resize ? 2 * SIZE : SIZE);

	STEP("stop ends the server and takes the block node away; the char node stays");
	CHECK_OK(util_run_as(ctl, personality, UBLK_U_CMD_STOP_DEV, info.dev_id, 0, NULL, 0));
	CHECK_EQ(util_wait(server), 0);
	CHECK(access(ublk_node_path(UBLK_NODE_BLOCK, info.dev_id, path), F_OK) < 0);
	CHECK(access(ublk_node_path(UBLK_NODE_CHAR, info.dev_id, path), F_OK) == 0);
	CHECK_OK(util_run_as(ctl, personality, UBLK_U_CMD_DEL_DEV, info.dev_id, 0, NULL, 0));
}

static int read_block(void *arg)
{
	const uint32_t *dev_id = arg;
	static char buffer[4096] __attribute__((aligned(4096)));
	char path[UBLK_NODE_PATH_MAX];
	/* Past all caches: the partition scan has read the first blocks. */
	int fd = open(ublk_node_path(UBLK_NODE_BLOCK, *dev_id, path), O_RDONLY | O_DIRECT);

	return fd < 0 || pread(fd, buffer, sizeof(buffer), SIZE / 2) < 0;
}

/* STOP_DEV while a server keeps a request in hand: nobody interrupts that. */
static void test_stuck(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 4, 0, SIZE), got;
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_STOP_DEV,
		.dev_id = info.dev_id,
		.timeout_ms = 300,
	};
	pid_t server = util_serve_null(&info, 0, 0), reader;
	long long begin, took;

	STEP("STOP_DEV that the kernel does not give up is left to itself after its deadline");
	CHECK_OK(ublk_control_start_dev(ctl, info.dev_id, server, 10000));
	/* Whatever looks at a new disk has to be done with it. */
	usleep(200000);
	CHECK(kill(server, SIGUSR1) == 0);
	reader = util_fork(read_block, &info.dev_id);
	util_wait_for_request(info.dev_id);
	begin = util_now_ms();
	CHECK_EQ(ublk_control_run(ctl, &cmd), -ETIMEDOUT);
	took = util_now_ms() - begin;
	CHECK(took >= 300 + UBLK_CANCEL_GRACE_MS && took < 300 + 3 * UBLK_CANCEL_GRACE_MS);

	STEP("… and takes effect when it can; its late answer harms nobody");
	CHECK(kill(server, SIGUSR2) == 0);
	util_wait(reader);
	CHECK_EQ(util_wait(server), 0);
	CHECK_OK(ublk_control_stop_dev(ctl, info.dev_id));
	CHECK_OK(ublk_control_get_dev_info(ctl, info.dev_id, &got));
	CHECK_EQ(got.state, UBLK_S_DEV_DEAD);
	util_del_dev(ctl, info.dev_id);
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();
	int alice = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));

	STEP("== a privileged device");
	test_live(ctl, 0, 0, 0);
	STEP("== an unprivileged device of uid %d, served by that user", ALICE_UID);
	test_live(ctl, alice, ALICE_UID, ALICE_GID);
	test_stuck(ctl);
	ublk_control_close(ctl);
	return 0;
}
