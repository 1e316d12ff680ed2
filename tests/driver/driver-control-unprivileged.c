/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices of ordinary users: made with their credentials they are theirs, the kernel judges every
 * later command by the credentials that it carries, and the table of features says what the driver
 * does.
 */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "driver-util.h"
#include "ublk-creds.h"
#include "ublk-features.h"
#include "ublk-node.h"

#define SIZE          (64ULL << 20)
#define MAX_PARAMETER "/sys/module/ublk_drv/parameters/ublks_max"

static void test_owner(struct ublk_control *ctl, int alice)
{
	struct ublksrv_ctrl_dev_info info, got;

	STEP("added with alice's credentials a device is unprivileged, and hers");
	info = util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, 1, 0, SIZE);
	CHECK(info.flags & UBLK_F_UNPRIVILEGED_DEV);
	CHECK_EQ(info.owner_uid, ALICE_UID);
	CHECK_EQ(info.owner_gid, ALICE_GID);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_GET_DEV_INFO2, info.dev_id, 0, &got,
			     sizeof(got)));
	CHECK_EQ(got.owner_uid, ALICE_UID);
	STEP("without asking for it, her credentials do not suffice: they have no capability");
	got = util_dev_info(1, 1, 0);
	CHECK_EQ(util_run_as(ctl, alice, UBLK_U_CMD_ADD_DEV, got.dev_id, 0, &got, sizeof(got)),
		 -EPERM);
	util_del_dev(ctl, info.dev_id);
}

/* Every command, as somebody who has no right to the device. */
static void check_refused(struct ublk_control *ctl, int personality, uint32_t dev_id, int expected)
{
	struct ublk_params params = util_params(SIZE);
	struct ublksrv_ctrl_dev_info got = { 0 };
	unsigned long mask[16];

	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_GET_DEV_INFO2, dev_id, 0, &got,
			     sizeof(got)),
		 expected);
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_GET_DEV_INFO, dev_id, 0, &got,
			     sizeof(got)),
		 expected);
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_GET_PARAMS, dev_id, 0, &params,
			     sizeof(params)),
		 expected);
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_GET_QUEUE_AFFINITY, dev_id, 0, mask,
			     sizeof(mask)),
		 expected);
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_SET_PARAMS, dev_id, 0, &params,
			     sizeof(params)),
		 expected);
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_START_DEV, dev_id, (uint64_t)getpid(),
			     NULL, 0),
		 expected);
	if (ublk_control_features(ctl) & UBLK_F_UPDATE_SIZE)
		CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_UPDATE_SIZE, dev_id, 8, NULL, 0),
			 expected);
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_STOP_DEV, dev_id, 0, NULL, 0), expected);
	CHECK_EQ(util_run_as(ctl, personality, UBLK_U_CMD_DEL_DEV, dev_id, 0, NULL, 0), expected);
	CHECK_EQ(got.dev_id, 0);
}

static void test_strangers(struct ublk_control *ctl, int alice, int bob)
{
	struct ublksrv_ctrl_dev_info info =
		util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, 1, 0, SIZE);
	struct ublksrv_ctrl_dev_info got;
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_PARAMS,
		.dev_id = info.dev_id,
		.privileged = true,
	};
	struct ublk_params params = { .len = sizeof(params) };

	STEP("bob's credentials: -EACCES for every command");
	check_refused(ctl, bob, info.dev_id, -EACCES);

	STEP("root's own: whatever it is, it goes by the path");
	CHECK_OK(ublk_control_get_dev_info(ctl, info.dev_id, &got));
	CHECK_OK(ublk_control_get_params(ctl, info.dev_id, &params));
	CHECK_EQ(params.basic.dev_sectors, SIZE >> 9);

	STEP("in the form of a privileged device, without the path: -EINVAL, for root too");
	cmd.buf = &params;
	cmd.len = sizeof(params);
	CHECK_EQ(ublk_control_run(ctl, &cmd), -EINVAL);
	cmd = (struct ublk_control_cmd){ UBLK_U_CMD_DEL_DEV, .dev_id = info.dev_id,
					 .privileged = true };
	CHECK_EQ(ublk_control_run(ctl, &cmd), -EINVAL);

	STEP("a number that passes to another user takes the right to it along");
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_DEL_DEV, info.dev_id, 0, NULL, 0));
	got = util_dev_info(1, 1, UBLK_F_UNPRIVILEGED_DEV);
	got.dev_id = info.dev_id;
	CHECK_OK(util_run_as(ctl, bob, UBLK_U_CMD_ADD_DEV, got.dev_id, 0, &got, sizeof(got)));
	CHECK_EQ(got.owner_uid, BOB_UID);
	util_chown_nodes(got.dev_id, BOB_UID, BOB_GID);
	check_refused(ctl, alice, info.dev_id, -EACCES);
	CHECK_OK(util_run_as(ctl, bob, UBLK_U_CMD_GET_DEV_INFO2, got.dev_id, 0, &info,
			     sizeof(info)));
	CHECK_OK(util_run_as(ctl, bob, UBLK_U_CMD_DEL_DEV, got.dev_id, 0, NULL, 0));
}

static void test_privileged(struct ublk_control *ctl, int alice)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 1, 0, SIZE);

	STEP("a privileged device: -EPERM for every command, even if the node is hers");
	util_chown_nodes(info.dev_id, ALICE_UID, ALICE_GID);
	check_refused(ctl, alice, info.dev_id, -EPERM);
	util_del_dev(ctl, info.dev_id);
}

/* What was asked, and how it went. */
struct answer {
	bool came;
	int res;
	uint32_t owner;
};

static void note(int res, const void *buf, size_t len, void *user_data)
{
	const struct ublksrv_ctrl_dev_info *info = buf;
	struct answer *answer = user_data;

	*answer = (struct answer){ true, res, res < 0 ? 0 : info->owner_uid };
}

/*
 * Many commands of two users in flight, more than the queue has entries: each is judged by its own
 * credentials, over its own arguments.
 */
static void test_mixed(struct ublk_control *ctl, int alice, int bob)
{
	struct ublksrv_ctrl_dev_info hers =
		util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, 1, 0, SIZE);
	struct ublksrv_ctrl_dev_info his =
		util_add_dev_as(ctl, bob, BOB_UID, BOB_GID, 1, 1, 0, SIZE);
	static struct answer answers[400];
	const int n = sizeof(answers) / sizeof(answers[0]);
	struct ublksrv_ctrl_dev_info buffer = { 0 };

	STEP("%d commands of two users at once: nothing is mixed up", n);
	for (int i = 0; i < n; i++) {
		struct ublk_control_cmd cmd = {
			.op = UBLK_U_CMD_GET_DEV_INFO2,
			.dev_id = i & 1 ? his.dev_id : hers.dev_id,
			.buf = &buffer,
			.len = sizeof(buffer),
			.personality = (unsigned int)(i & 2 ? bob : alice),
		};

		CHECK_OK(ublk_control_submit(ctl, &cmd, note, &answers[i], NULL));
	}
	for (int i = 0; i < n; i++) {
		bool is_his = i & 1, as_bob = i & 2;

		while (!answers[i].came) {
			struct pollfd pfd = { .fd = ublk_control_get_fd(ctl), .events = POLLIN };

			CHECK_EQ(poll(&pfd, 1, 10000), 1);
			ublk_control_dispatch(ctl);
		}
		CHECK_EQ(answers[i].res, is_his == as_bob ? 0 : -EACCES);
		if (answers[i].res == 0)
			CHECK_EQ(answers[i].owner, is_his ? BOB_UID : ALICE_UID);
	}
	util_del_dev(ctl, hers.dev_id);
	util_del_dev(ctl, his.dev_id);
}

/* Each flag alone: ADD_DEV does with it what the table says, or does not know it and drops it. */
static void test_features(struct ublk_control *ctl, int alice)
{
	uint64_t known = ublk_control_features(ctl);
	const struct ublk_feature *table;
	size_t n;

	STEP("ADD_DEV does with each flag what the table of features says");
	table = ublk_features(&n);
	for (size_t i = 0; i < n; i++) {
		const struct ublk_feature *f = &table[i];
		/* Without it, this one is refused as nonsense; and BATCH_IO with a depth of 1. */
		uint64_t with = f->flag == UBLK_F_USER_RECOVERY_REISSUE ? UBLK_F_USER_RECOVERY : 0;
		struct ublksrv_ctrl_dev_info info =
			util_dev_info(1, 2, f->flag | with | UBLK_F_UNPRIVILEGED_DEV);
		int ret = util_run_as(ctl, alice, UBLK_U_CMD_ADD_DEV, info.dev_id, 0, &info,
				      sizeof(info));
		const char *what = ret == -EINVAL         ? "refused"
				   : ret < 0              ? "fails"
				   : info.flags & f->flag ? "granted"
							  : "dropped";

		STEP("  %-22s %s", f->name, what);
		if (!(known & f->flag))
			CHECK(ret == 0 && !(info.flags & f->flag));
		else if (f->unprivileged == UBLK_FEATURE_REFUSED)
			CHECK_EQ(ret, -EINVAL);
		else if (f->unprivileged == UBLK_FEATURE_CLEARED)
			CHECK(ret == 0 && !(info.flags & f->flag));
		else
			CHECK(ret == 0 && info.flags & f->flag);
		if (ret < 0)
			continue;
		/* Implied: also on a device that did not ask. */
		for (size_t j = 0; j < n; j++)
			if (table[j].unprivileged == UBLK_FEATURE_IMPLIED &&
			    known & table[j].flag &&
			    !(table[j].flag == UBLK_F_PER_IO_DAEMON && f->flag == UBLK_F_BATCH_IO))
				CHECK(info.flags & table[j].flag);
		CHECK_OK(ublk_control_del_dev(ctl, info.dev_id, 5000));
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void test_maximum(struct ublk_control *ctl, int alice, int bob)
{
	struct ublksrv_ctrl_dev_info infos[3], one_more, privileged;

	STEP("ublks_max counts unprivileged devices of all users; beyond it -EACCES");
	write_file(MAX_PARAMETER, "3");
	for (int i = 0; i < 3; i++) {
		infos[i] = util_dev_info(1, 1, UBLK_F_UNPRIVILEGED_DEV);
		CHECK_OK(util_run_as(ctl, i ? alice : bob, UBLK_U_CMD_ADD_DEV, UBLK_DEV_ID_ANY, 0,
				     &infos[i], sizeof(infos[i])));
	}
	one_more = util_dev_info(1, 1, UBLK_F_UNPRIVILEGED_DEV);
	CHECK_EQ(util_run_as(ctl, alice, UBLK_U_CMD_ADD_DEV, UBLK_DEV_ID_ANY, 0, &one_more,
			     sizeof(one_more)),
		 -EACCES);
	privileged = util_add_dev(ctl, 1, 1, 0, SIZE);
	util_del_dev(ctl, privileged.dev_id);
	for (int i = 0; i < 3; i++)
		util_del_dev(ctl, infos[i].dev_id);
	CHECK_OK(util_run_as(ctl, alice, UBLK_U_CMD_ADD_DEV, UBLK_DEV_ID_ANY, 0, &one_more,
			     sizeof(one_more)));
	util_del_dev(ctl, one_more.dev_id);
	write_file(MAX_PARAMETER, "64");
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();
	int alice = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));
	int bob = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, NULL, 0));

	test_owner(ctl, alice);
	test_strangers(ctl, alice, bob);
	test_privileged(ctl, alice);
	test_mixed(ctl, alice, bob);
	test_features(ctl, alice);
	test_maximum(ctl, alice, bob);
	ublk_control_close(ctl);
	return 0;
}
