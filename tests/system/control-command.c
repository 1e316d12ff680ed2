/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control-command [--fd N] [--no-path] VERB DEVICE [NUMBER]
 *
 * One command to the driver, in the caller's own name, past ublkd and past the project's own
 * control ring: what the tests hold against what the product says. --fd: an open descriptor of
 * /dev/ublk-control in place of opening it. --no-path: without the path that the driver demands for
 * an unprivileged device.
 *
 * Verbs: info, params, affinity, start PID, stop, delete, resize SECTORS, set-params.
 * Prints what the kernel said: a line of KEY=VALUE words, "ok", or the name of the error, and exits
 * with 0 only if the command succeeded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <liburing.h>

#include "ublk-abi.h"

static const struct verb {
	const char *name;
	uint32_t op;
	uint16_t payload; /* bytes behind the path */
} verbs[] = {
	{ "info", UBLK_U_CMD_GET_DEV_INFO2, sizeof(struct ublksrv_ctrl_dev_info) },
	{ "params", UBLK_U_CMD_GET_PARAMS, sizeof(struct ublk_params) },
	{ "affinity", UBLK_U_CMD_GET_QUEUE_AFFINITY, 128 },
	{ "start", UBLK_U_CMD_START_DEV, 0 },
	{ "stop", UBLK_U_CMD_STOP_DEV, 0 },
	{ "delete", UBLK_U_CMD_DEL_DEV, 0 },
	{ "resize", UBLK_U_CMD_UPDATE_SIZE, 0 },
	{ "set-params", UBLK_U_CMD_SET_PARAMS, sizeof(struct ublk_params) },
};

static _Noreturn void die(const char *what, int err)
{
	fprintf(stderr, "control-command: %s: %s\n", what, strerror(err));
	exit(2);
}

static int run(int fd, const struct ublksrv_ctrl_cmd *cmd, uint32_t op)
{
	struct __kernel_timespec wait = { .tv_sec = 10 };
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int r = io_uring_queue_init(2, &ring, IORING_SETUP_SQE128);

	if (r < 0)
		die("io_uring", -r);
	sqe = io_uring_get_sqe(&ring);
	/* A fresh ring's memory is zero. */
	if (!sqe)
		die("io_uring_get_sqe", EBUSY);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = op;
	memcpy(sqe->cmd, cmd, sizeof(*cmd));
	r = io_uring_submit(&ring);
	if (r < 0)
		die("io_uring_submit", -r);
	/* START_DEV and DEL_DEV may wait for ever; the ring's end cancels them. */
	r = io_uring_wait_cqe_timeout(&ring, &cqe, &wait);
	if (r == 0)
		r = cqe->res;
	else if (r == -ETIME)
		r = -ETIMEDOUT;
	else
		die("io_uring_wait_cqe", -r);
	io_uring_queue_exit(&ring);
	return r;
}

int main(int argc, char **argv)
{
	const struct verb *verb = NULL;
	bool with_path = true;
	int fd = -1;
	char *buf;
	uint16_t path_len;
	int r;

	argv++;
	for (; *argv && (*argv)[0] == '-'; argv++) {
		if (strcmp(*argv, "--fd") == 0 && argv[1])
			fd = atoi(*++argv);
		else if (strcmp(*argv, "--no-path") == 0)
			with_path = false;
		else
			die(*argv, EINVAL);
	}
	for (size_t i = 0; *argv && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, *argv) == 0)
			verb = &verbs[i];
	if (!verb || !argv[1])
		die("usage: control-command [--fd N] [--no-path] VERB DEVICE [NUMBER]", EINVAL);
	if (fd < 0)
		fd = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		puts(strerrorname_np(errno));
		return 1;
	}

	buf = calloc(1, 4096);
	if (!buf)
		die("memory", ENOMEM);
	path_len = with_path ? (uint16_t)(snprintf(buf, 64, "/dev/ublkc%s", argv[1]) + 1) : 0;
	if (verb->op == UBLK_U_CMD_SET_PARAMS) {
		struct ublk_params params = {
			.len = sizeof(params),
			.types = UBLK_PARAM_TYPE_BASIC,
			.basic = { .logical_bs_shift = 9,
				   .physical_bs_shift = 9,
				   .io_opt_shift = 9,
				   .io_min_shift = 9,
				   .max_sectors = 8,
				   .dev_sectors = 8 },
		};

		memcpy(buf + path_len, &params, sizeof(params));
	}
	if (verb->op == UBLK_U_CMD_GET_PARAMS) {
		uint32_t len = sizeof(struct ublk_params);

		memcpy(buf + path_len, &len, sizeof(len));
	}
	r = run(fd,
		&(struct ublksrv_ctrl_cmd){
			.dev_id = (uint32_t)strtoul(argv[1], NULL, 10),
			.queue_id = verb->op == UBLK_U_CMD_GET_QUEUE_AFFINITY ? 0 : UINT16_MAX,
			.len = (uint16_t)(path_len + verb->payload),
			.addr = (uint64_t)(uintptr_t)buf,
			.data = { argv[2] ? strtoull(argv[2], NULL, 10) : 0 },
			.dev_path_len = path_len,
		},
		verb->op);
	if (r < 0) {
		puts(strerrorname_np(-r));
		return 1;
	}
	if (verb->op == UBLK_U_CMD_GET_DEV_INFO2) {
		struct ublksrv_ctrl_dev_info info;

		memcpy(&info, buf + path_len, sizeof(info));
		printf("id=%u state=%u unprivileged=%d uid=%u gid=%u queues=%u depth=%u pid=%d "
		       "flags=%#llx\n",
		       info.dev_id, info.state, !!(info.flags & UBLK_F_UNPRIVILEGED_DEV),
		       info.owner_uid, info.owner_gid, info.nr_hw_queues, info.queue_depth,
		       info.ublksrv_pid, (unsigned long long)info.flags);
	} else if (verb->op == UBLK_U_CMD_GET_PARAMS) {
		struct ublk_params params;

		memcpy(&params, buf + path_len, sizeof(params));
		printf("types=%#x attrs=%#x sectors=%llu logical=%u physical=%u max-sectors=%u\n",
		       params.types, params.basic.attrs,
		       (unsigned long long)params.basic.dev_sectors,
		       1U << params.basic.logical_bs_shift, 1U << params.basic.physical_bs_shift,
		       params.basic.max_sectors);
	} else {
		puts("ok");
	}
	return 0;
}
