/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ways of older drivers, on one that still accepts them: the bare command numbers of Linux 6.0
 * to 6.3, and GET_DEV_INFO in the place of GET_DEV_INFO2.
 */
#include <unistd.h>

#include "driver-util.h"
#include "ublk-control-internal.h"
#include "ublk-creds.h"

#define SIZE (64ULL << 20)

static void test_numbers(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info, got;
	struct ublk_params params;
	pid_t server;

	STEP("a privileged device's life in bare numbers");
	info = util_add_dev(ctl, 1, 4, 0, SIZE);
	CHECK_OK(ublk_control_get_dev_info(ctl, info.dev_id, &got));
	CHECK_EQ(got.dev_id, info.dev_id);
	CHECK_OK(ublk_control_get_params(ctl, info.dev_id, &params));
	CHECK_EQ(params.basic.dev_sectors, SIZE >> 9);
	CHECK_EQ(ublk_control_start_dev(ctl, info.dev_id, getpid(), 200), -ETIMEDOUT);
	server = util_serve_null(&info, 0, 0);
	CHECK_OK(ublk_control_start_dev(ctl, info.dev_id, server, 10000));
	CHECK_OK(ublk_control_stop_dev(ctl, info.dev_id));
	CHECK_EQ(util_wait(server), 0);
	CHECK_OK(ublk_control_del_dev(ctl, info.dev_id, 10000));
	CHECK_EQ(ublk_control_get_dev_info(ctl, info.dev_id, &got), -ENODEV);
}

static void test_unprivileged(struct ublk_control *ctl)
{
	int alice = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));
	int bob = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, NULL, 0));
	struct ublksrv_ctrl_dev_info info, got;

	STEP("an unprivileged one's, with its path");
	info = util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, 1, 0, SIZE);
	CHECK_EQ(info.owner_uid, ALICE_UID);
	CHECK_EQ(util_run_as(ctl, bob, UBLK_U_CMD_GET_DEV_INFO2, info.dev_id, 0, &got, sizeof(got)),
		 -EACCES);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_DEL_DEV, info.dev_id, 0, NULL, 0));
	ublk_creds_drop(ctl, alice);
	ublk_creds_drop(ctl, bob);
}

static void test_without_info2(struct ublk_control *ctl)
{
	int bob = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, NULL, 0));
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 4, 0, SIZE), got = { 0 };
	struct ublksrv_ctrl_dev_info hers = util_dev_info(1, 1, UBLK_F_UNPRIVILEGED_DEV);

	STEP("without GET_DEV_INFO2, GET_DEV_INFO answers: to those who may ask");
	ctl->test_no_dev_info2 = true;
	CHECK_OK(ublk_control_get_dev_info(ctl, info.dev_id, &got));
	CHECK(memcmp(&got, &info, sizeof(got)) == 0);
	CHECK_EQ(util_run_as(ctl, bob, UBLK_U_CMD_GET_DEV_INFO2, info.dev_id, 0, &got, sizeof(got)),
		 -EPERM);
	STEP("it does not open a way around an unprivileged device's path");
	CHECK_OK(util_run_as(ctl, bob, UBLK_U_CMD_ADD_DEV, hers.dev_id, 0, &hers, sizeof(hers)));
	CHECK_EQ(ublk_control_get_dev_info(ctl, hers.dev_id, &got), -EINVAL);
	STEP("and an absent device is absent");
	CHECK_EQ(ublk_control_get_dev_info(ctl, 54321, &got), -ENODEV);
	ctl->test_no_dev_info2 = false;
	util_del_dev(ctl, hers.dev_id);
	util_del_dev(ctl, info.dev_id);
	ublk_creds_drop(ctl, bob);
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();
	struct ublksrv_ctrl_dev_info info = util_dev_info(1, 1, 0);
	uint64_t features;
	int ret;

	CHECK(!ctl->legacy);
	test_without_info2(ctl);

	ublk_control_test_set_legacy(ctl, true);
	ret = ublk_control_add_dev(ctl, &info);
	if (ret == -EOPNOTSUPP)
		SKIP("this kernel does not accept the legacy numbers");
	CHECK_OK(ret);
	util_del_dev(ctl, info.dev_id);
	STEP("what never had a bare number is not there");
	CHECK_EQ(ublk_control_get_features(ctl, &features), -EOPNOTSUPP);
	test_numbers(ctl);
	test_unprivileged(ctl);
	ublk_control_close(ctl);
	return 0;
}
