/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A privileged device's life without a server: what ADD_DEV is asked and grants, what is set is
 * what is got, and after DEL_DEV the number is free.
 */
#include <unistd.h>

#include "driver-util.h"
#include "ublk-features.h"
#include "ublk-node.h"

#define SIZE (64ULL << 20)

static void test_features(struct ublk_control *ctl)
{
	uint64_t known = 0, features = 0;
	const struct ublk_feature *table;
	size_t n;

	STEP("GET_FEATURES gives what the ring knows, and nothing that the table does not have");
	CHECK_OK(ublk_control_get_features(ctl, &features));
	CHECK_EQ(features, ublk_control_features(ctl));
	CHECK(features & UBLK_F_UNPRIVILEGED_DEV);
	table = ublk_features(&n);
	for (size_t i = 0; i < n; i++)
		known |= table[i].flag;
	CHECK_EQ(features & ~known, 0);
}

static void test_absent(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info;
	struct ublk_params params;

	STEP("a number that is free is ENODEV");
	CHECK_EQ(ublk_control_get_dev_info(ctl, 12345, &info), -ENODEV);
	CHECK_EQ(ublk_control_get_params(ctl, 12345, &params), -ENODEV);
	CHECK_EQ(ublk_control_stop_dev(ctl, 12345), -ENODEV);
	CHECK_EQ(ublk_control_del_dev(ctl, 12345, 1000), -ENODEV);
	CHECK_EQ(ublk_control_start_dev(ctl, 12345, getpid(), 1000), -ENODEV);
}

static void test_life(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info, got = { 0 };
	struct ublk_params params = util_params(SIZE), got_params;
	struct ublk_control_cmd affinity = { .op = UBLK_U_CMD_GET_QUEUE_AFFINITY };
	unsigned long mask[16];
	char path[UBLK_NODE_PATH_MAX];

	STEP("add: any number; flags that nobody knows are not granted; the owner is root");
	info = util_dev_info(1, 32, 1ULL << 40 | UBLK_F_NEED_GET_DATA);
	CHECK_OK(ublk_control_add_dev(ctl, &info));
	CHECK(info.dev_id != UBLK_DEV_ID_ANY);
	CHECK_EQ(info.flags & (1ULL << 40), 0);
	CHECK(info.flags & UBLK_F_NEED_GET_DATA);
	CHECK(!(info.flags & UBLK_F_UNPRIVILEGED_DEV));
	CHECK_EQ(info.owner_uid, 0);
	CHECK_EQ(info.state, UBLK_S_DEV_DEAD);
	CHECK(access(ublk_node_path(UBLK_NODE_CHAR, info.dev_id, path), F_OK) == 0);

	STEP("get: what was granted");
	CHECK_OK(ublk_control_get_dev_info(ctl, info.dev_id, &got));
	CHECK(memcmp(&got, &info, sizeof(info)) == 0);

	STEP("the number is taken");
	got = util_dev_info(1, 32, 0);
	got.dev_id = info.dev_id;
	CHECK_EQ(ublk_control_add_dev(ctl, &got), -EEXIST);

	STEP("parameters: what was set is got back");
	CHECK_OK(ublk_control_set_params(ctl, info.dev_id, &params));
	CHECK_OK(ublk_control_get_params(ctl, info.dev_id, &got_params));
	CHECK(memcmp(&got_params.basic, &params.basic, sizeof(params.basic)) == 0);
	CHECK(got_params.types & UBLK_PARAM_TYPE_DEVT);
	CHECK(got_params.devt.char_major != 0);

	STEP("parameters that the driver must refuse are refused: the test above can fail");
	params.basic.logical_bs_shift = 8;
	CHECK_EQ(ublk_control_set_params(ctl, info.dev_id, &params), -EINVAL);

	STEP("the processors of queue 0, and of no queue 7");
	affinity.dev_id = info.dev_id;
	affinity.buf = mask;
	affinity.len = sizeof(mask);
	affinity.privileged = true;
	memset(mask, 0, sizeof(mask));
	CHECK_OK(ublk_control_run(ctl, &affinity));
	CHECK(mask[0] != 0);
	affinity.queue_id = 7;
	CHECK_EQ(ublk_control_run(ctl, &affinity), -EINVAL);

	STEP("delete: the node goes, the number is free, and is given again");
	CHECK_OK(ublk_control_del_dev(ctl, info.dev_id, 5000));
	CHECK(access(path, F_OK) < 0 && errno == ENOENT);
	CHECK_EQ(ublk_control_get_dev_info(ctl, info.dev_id, &got), -ENODEV);
	got = util_dev_info(1, 1, 0);
	got.dev_id = info.dev_id;
	CHECK_OK(ublk_control_add_dev(ctl, &got));
	CHECK_EQ(got.dev_id, info.dev_id);
	util_del_dev(ctl, got.dev_id);
}

/* The form of a privileged device's commands, and what becomes of the other form. */
static void test_forms(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 1, 0, SIZE), got;
	struct ublk_params params = util_params(SIZE);
	unsigned long mask[16];

	STEP("a privileged device, asked as if it were none, refuses whatever carries a payload");
	CHECK_EQ(
		util_run_as(ctl, 0, UBLK_U_CMD_SET_PARAMS, info.dev_id, 0, &params, sizeof(params)),
		-EINVAL);
	CHECK_EQ(
		util_run_as(ctl, 0, UBLK_U_CMD_GET_PARAMS, info.dev_id, 0, &params, sizeof(params)),
		-EINVAL);
	CHECK_EQ(util_run_as(ctl, 0, UBLK_U_CMD_GET_DEV_INFO, info.dev_id, 0, &got, sizeof(got)),
		 -EINVAL);
	CHECK_EQ(util_run_as(ctl, 0, UBLK_U_CMD_GET_QUEUE_AFFINITY, info.dev_id, 0, mask,
			     sizeof(mask)),
		 -EINVAL);
	STEP("commands without one do not care");
	CHECK_OK(util_run_as(ctl, 0, UBLK_U_CMD_STOP_DEV, info.dev_id, 0, NULL, 0));
	CHECK_OK(util_run_as(ctl, 0, UBLK_U_CMD_DEL_DEV, info.dev_id, 0, NULL, 0));
}

static void test_mistakes(struct ublk_control *ctl)
{
	static char big[70000];
	struct ublk_control_cmd cmd = { .op = 0x1234 };
	struct ublk_control *other = NULL;

	STEP("what is no command, or too long for one, is not submitted");
	CHECK_EQ(ublk_control_run(ctl, &cmd), -EINVAL);
	cmd.op = UBLK_CMD_GET_DEV_INFO2;
	CHECK_EQ(ublk_control_run(ctl, &cmd), -EINVAL);
	cmd.op = UBLK_U_CMD_SET_PARAMS;
	cmd.buf = big;
	cmd.len = sizeof(big);
	CHECK_EQ(ublk_control_run(ctl, &cmd), -EINVAL);
	/* The path counts too. */
	cmd.len = UINT16_MAX;
	CHECK_EQ(ublk_control_run(ctl, &cmd), -EINVAL);
	cmd.len = 0;
	cmd.personality = 70000;
	CHECK_EQ(ublk_control_run(ctl, &cmd), -EINVAL);

	STEP("a node that is not the driver's is recognized");
	/* One that takes every command and does nothing, and one that takes none. */
	CHECK_EQ(ublk_control_open("/dev/null", 1, &other), -ENOTTY);
	CHECK_EQ(ublk_control_open("/dev/full", 1, &other), -ENOTTY);
	CHECK_EQ(ublk_control_open("/tmp", 1, &other), -EISDIR);
	CHECK_EQ(ublk_control_open("/proc/self/comm", 1, &other), -ENOTTY);
	CHECK_EQ(ublk_control_open("/dev/absent", 1, &other), -ENOENT);
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();

	test_features(ctl);
	test_absent(ctl);
	test_life(ctl);
	test_forms(ctl);
	test_mistakes(ctl);
	ublk_control_close(ctl);
	return 0;
}
