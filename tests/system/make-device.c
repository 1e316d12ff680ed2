/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * make-device [--cookie HEX] UID GID FILE
 *
 * A loop device without ublkd: adds the device with the credentials UID:GID (0:0: a privileged
 * device), waits for udev's rule to give the node to that user, has ublk-server serve FILE as that
 * user and starts the device. Prints the device's number when it is live, serves until SIGTERM, and
 * deletes the device. --cookie: what ublkd would put into dev_info.ublksrv_flags.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/ublk-control.h"
#include "kernel/ublk-creds.h"
#include "kernel/ublk-node.h"
#include "kernel/ublk-params.h"

static struct ublk_control *ctl;
static int personality;
static uint32_t dev_id = UBLK_DEV_ID_ANY;
static pid_t server;

/* With root's own rights, whoever has the nodes by now. */
static void remove_device(void)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_STOP_DEV,
		.dev_id = dev_id,
		.privileged = personality == 0,
		.timeout_ms = 15000,
	};

	if (dev_id == UBLK_DEV_ID_ANY)
		return;
	ublk_control_run(ctl, &cmd);
	if (server > 0)
		waitpid(server, NULL, 0);
	cmd.op = UBLK_U_CMD_DEL_DEV;
	ublk_control_run(ctl, &cmd);
}

static void command(uint32_t op, uint64_t data, void *buf, size_t len)
{
	struct ublk_control_cmd cmd = {
		.op = op,
		.dev_id = dev_id,
		.data = data,
		.buf = buf,
		.len = len,
		.personality = (unsigned int)personality,
		.privileged = personality == 0,
		.timeout_ms = 15000,
	};
	int r = ublk_control_run(ctl, &cmd);

	if (r < 0) {
		fprintf(stderr, "make-device: command %#" PRIx32 ": %s\n", op, strerror(-r));
		exit(1);
	}
}

static void die(const char *what, int r)
{
	fprintf(stderr, "make-device: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void wait_for_owner(uid_t uid)
{
	struct ublk_node_owner owner;

	for (int i = 0; i < 500; i++) {
		int fd = ublk_node_open(UBLK_NODE_CHAR, dev_id, &owner);

		if (fd >= 0) {
			close(fd);
			if (owner.uid == uid)
				return;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	die("udev did not give the node to its owner", -ETIMEDOUT);
}

static pid_t serve(const struct ublksrv_ctrl_dev_info *info, uid_t uid, gid_t gid, const char *file)
{
	char path[UBLK_NODE_PATH_MAX], id[16], queues[16], depth[16], max_io[16], flags[24];
	pid_t pid;

	ublk_node_path(UBLK_NODE_CHAR, dev_id, path);
	snprintf(id, sizeof(id), "%" PRIu32, dev_id);
	snprintf(queues, sizeof(queues), "%u", info->nr_hw_queues);
	snprintf(depth, sizeof(depth), "%u", info->queue_depth);
	snprintf(max_io, sizeof(max_io), "%" PRIu32, info->max_io_buf_bytes);
	snprintf(flags, sizeof(flags), "%#" PRIx64, info->flags);

	pid = fork();
	if (pid != 0)
		return pid;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execlp("ublk-server", "ublk-server", "-t", "loop", "--char-device", path, "--id", id,
	       "--queues", queues, "--depth", depth, "--max-io-size", max_io, "--flags", flags,
	       "-f", file, "--buffered", NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = 1,
		.queue_depth = 32,
		.max_io_buf_bytes = 256 * 1024,
		.dev_id = UBLK_DEV_ID_ANY,
		.ublksrv_pid = -1,
	};
	struct ublk_limits limits = { 0 };
	struct ublk_params params;
	const char *field = "", *why = "";
	struct stat st;
	sigset_t set;
	uid_t uid;
	gid_t gid;
	int sig, r;

	if (argc > 2 && !strcmp(argv[1], "--cookie")) {
		info.ublksrv_flags = strtoull(argv[2], NULL, 16);
		argv += 2;
		argc -= 2;
	}
	if (argc != 4 || stat(argv[3], &st) < 0) {
		fprintf(stderr, "usage: make-device [--cookie HEX] UID GID FILE\n");
		return 2;
	}
	uid = (uid_t)strtoul(argv[1], NULL, 10);
	gid = (gid_t)strtoul(argv[2], NULL, 10);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);

	atexit(remove_device);
	r = ublk_control_open(NULL, 4, &ctl);
	if (r < 0)
		die("control device", r);
	if (uid != 0) {
		personality = ublk_creds_register(ctl, uid, gid, NULL, 0);
		if (personality < 0)
			die("credentials", personality);
		info.flags |= UBLK_F_UNPRIVILEGED_DEV;
	}
	command(UBLK_U_CMD_ADD_DEV, 0, &info, sizeof(info));
	dev_id = info.dev_id;
	wait_for_owner(uid);

	limits.size = (uint64_t)st.st_size;
	r = ublk_params_build(&limits, info.max_io_buf_bytes, &params, &field, &why);
	if (r < 0) {
		fprintf(stderr, "make-device: %s: %s\n", field, why);
		return 1;
	}
	command(UBLK_U_CMD_SET_PARAMS, 0, &params, sizeof(params));
	server = serve(&info, uid, gid, argv[3]);
	/* from here on SIGTERM is waited for; the server does not inherit that */
	sigprocmask(SIG_BLOCK, &set, NULL);
	command(UBLK_U_CMD_START_DEV, (uint64_t)server, NULL, 0);

	printf("%" PRIu32 "\n", dev_id);
	fflush(stdout);
	sigwait(&set, &sig);
	return 0;
}
