/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The nodes: the right one is opened and described, anything else in its place is refused, what a
 * person calls it leads to its number, and a descriptor of a node does not outlive the device.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver-util.h"
#include "ublk-creds.h"
#include "ublk-node.h"

#define SIZE (64ULL << 20)

static void test_open(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 1, 0, SIZE);
	char path[UBLK_NODE_PATH_MAX], moved[] = "/dev/moved";
	struct ublk_node_owner owner;
	struct ublk_params params;
	pid_t server;
	int fd;

	STEP("the char node is opened without being opened, and described");
	CHECK(chown(ublk_node_path(UBLK_NODE_CHAR, info.dev_id, path), ALICE_UID, BOB_GID) == 0);
	fd = CHECK_OK(ublk_node_open(UBLK_NODE_CHAR, info.dev_id, &owner));
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(owner.uid, ALICE_UID);
	CHECK_EQ(owner.gid, BOB_GID);
	CHECK(S_ISCHR(owner.mode));
	CHECK_OK(ublk_control_get_params(ctl, info.dev_id, &params));
	CHECK_EQ(owner.rdev, makedev(params.devt.char_major, params.devt.char_minor));
	CHECK_EQ(ublk_node_open(UBLK_NODE_BLOCK, info.dev_id, NULL), -ENOENT);

	/* It has one opener at a time, and that is not us. */
	server = util_serve_null(&info, 0, 0);
	CHECK_OK(ublk_control_start_dev(ctl, info.dev_id, server, 10000));
	close(fd);
	STEP("so is the block node");
	fd = CHECK_OK(ublk_node_open(UBLK_NODE_BLOCK, info.dev_id, &owner));
	CHECK_OK(ublk_control_get_params(ctl, info.dev_id, &params));
	CHECK_EQ(owner.rdev, makedev(params.devt.disk_major, params.devt.disk_minor));
	CHECK(S_ISBLK(owner.mode));
	close(fd);

	STEP("another node, a file or a link in its place is refused");
	CHECK(rename(path, moved) == 0);
	CHECK(mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0);
	CHECK_EQ(ublk_node_open(UBLK_NODE_CHAR, info.dev_id, NULL), -ENODEV);
	CHECK(unlink(path) == 0);
	CHECK(mknod(path, S_IFREG | 0600, 0) == 0);
	CHECK_EQ(ublk_node_open(UBLK_NODE_CHAR, info.dev_id, NULL), -ENODEV);
	CHECK(unlink(path) == 0);
	CHECK(symlink(moved, path) == 0);
	CHECK_EQ(ublk_node_open(UBLK_NODE_CHAR, info.dev_id, NULL), -ENODEV);
	CHECK(unlink(path) == 0);
	/* The right type, and the wrong device of it. */
	CHECK(mknod(path, S_IFCHR | 0600, makedev(params.devt.char_major, 4242)) == 0);
	CHECK_EQ(ublk_node_open(UBLK_NODE_CHAR, info.dev_id, NULL), -ENODEV);
	CHECK(unlink(path) == 0);
	CHECK(rename(moved, path) == 0);
	CHECK_EQ(ublk_node_open(UBLK_NODE_CHAR, 4242, NULL), -ENOENT);

	util_del_dev(ctl, info.dev_id);
	CHECK_EQ(util_wait(server), 0);
}

static void test_parse(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 1, 0, SIZE);
	char path[UBLK_NODE_PATH_MAX];
	uint32_t id = 77;
	pid_t server = util_serve_null(&info, 0, 0);

	STEP("a path or a link to a node means its number");
	CHECK_OK(ublk_control_start_dev(ctl, info.dev_id, server, 10000));
	ublk_node_path(UBLK_NODE_BLOCK, info.dev_id, path);
	CHECK_OK(ublk_node_parse(path, &id));
	CHECK_EQ(id, info.dev_id);
	CHECK(mkdir("/dev/disk", 0755) == 0 || errno == EEXIST);
	CHECK(symlink(path, "/dev/disk/some-name") == 0);
	CHECK(symlink("../disk/some-name", "/tmp/link") == 0 || errno == EEXIST);
	id = 77;
	CHECK_OK(ublk_node_parse("/dev/disk/some-name", &id));
	CHECK_EQ(id, info.dev_id);
	CHECK_OK(ublk_node_parse("/dev/../dev/disk/./some-name", &id));
	id = 77;
	CHECK_OK(ublk_node_parse(ublk_node_path(UBLK_NODE_CHAR, info.dev_id, path), &id));
	CHECK_EQ(id, info.dev_id);
	CHECK(unlink("/dev/disk/some-name") == 0);
	unlink("/tmp/link");
	util_del_dev(ctl, info.dev_id);
	CHECK_EQ(util_wait(server), 0);
	id = 77;
	CHECK_EQ(ublk_node_parse(path, &id), -ENOENT);
	CHECK_EQ(id, 77);
}

struct held {
	int fd;
};

/* Alice opens what she holds. */
static int open_held(void *arg)
{
	char path[32];

	util_become(ALICE_UID, ALICE_GID);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ((struct held *)arg)->fd);
	return open(path, O_RDWR) < 0 ? errno : 0;
}

/*
 * A number's char node has the same device number for every device that ever has it. That a
 * descriptor which alice kept of hers does not open bob's is the kernel's doing: it takes the owner
 * and the mode off a node that it removes.
 */
static void test_kept_descriptor(struct ublk_control *ctl)
{
	int alice = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));
	int bob = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, NULL, 0));
	struct ublksrv_ctrl_dev_info hers, his;
	struct held held;

	hers = util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, 1, 0, SIZE);
	held.fd = CHECK_OK(ublk_node_open(UBLK_NODE_CHAR, hers.dev_id, NULL));
	STEP("a descriptor of a node opens it");
	CHECK_EQ(util_wait(util_fork(open_held, &held)), 0);
	STEP("but not the next device of its number, once it is gone");
	util_del_dev(ctl, hers.dev_id);
	his = util_dev_info(1, 1, UBLK_F_UNPRIVILEGED_DEV);
	his.dev_id = hers.dev_id;
	CHECK_OK(util_run_as(ctl, bob, UBLK_U_CMD_ADD_DEV, his.dev_id, 0, &his, sizeof(his)));
	util_chown_nodes(his.dev_id, BOB_UID, BOB_GID);
	CHECK_EQ(util_wait(util_fork(open_held, &held)), EACCES);
	close(held.fd);
	util_del_dev(ctl, his.dev_id);
	ublk_creds_drop(ctl, alice);
	ublk_creds_drop(ctl, bob);
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();

	test_open(ctl);
	test_parse(ctl);
	test_kept_descriptor(ctl);
	ublk_control_close(ctl);
	return 0;
}
