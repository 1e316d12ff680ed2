/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the driver tests share. See driver-util.h. */
#include "driver-util.h"

#include <fcntl.h>
#include <grp.h>
#include <liburing.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ublk-node.h"
#include "ublk-params.h"
#include "uring-compat.h"

#define BUFFER_SIZE (64 << 10)

long long util_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct ublk_control *util_open_control(void)
{
	struct ublk_control *ctl = NULL;
	int ret = ublk_control_open(NULL, 64, &ctl);

	if (ret == -ENOENT)
		SKIP("no driver: %s is absent", UBLK_CONTROL_PATH);
	CHECK_OK(ret);
	return ctl;
}

struct ublksrv_ctrl_dev_info util_dev_info(uint16_t queues, uint16_t depth, uint64_t flags)
{
	return (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = queues,
		.queue_depth = depth,
		.max_io_buf_bytes = BUFFER_SIZE,
		.dev_id = UBLK_DEV_ID_ANY,
		.flags = flags,
	};
}

struct ublk_params util_params(uint64_t size)
{
	struct ublk_limits limits = { .size = size };
	struct ublk_params params;
	const char *field, *why;

	if (ublk_params_build(&limits, BUFFER_SIZE, &params, &field, &why) < 0)
		FAIL("%s %s", field, why);
	return params;
}

struct ublksrv_ctrl_dev_info util_add_dev(struct ublk_control *ctl, uint16_t queues, uint16_t depth,
					  uint64_t flags, uint64_t size)
{
	struct ublksrv_ctrl_dev_info info = util_dev_info(queues, depth, flags);
	struct ublk_params params = util_params(size);

	CHECK_OK(ublk_control_add_dev(ctl, &info));
	CHECK_OK(ublk_control_set_params(ctl, info.dev_id, &params));
	return info;
}

void util_del_dev(struct ublk_control *ctl, uint32_t dev_id)
{
	CHECK_OK(ublk_control_stop_dev(ctl, dev_id));
	CHECK_OK(ublk_control_del_dev(ctl, dev_id, 10000));
}

int util_run_as(struct ublk_control *ctl, int personality, uint32_t op, uint32_t dev_id,
		uint64_t data, void *buf, size_t len)
{
	struct ublk_control_cmd cmd = {
		.op = op,
		.dev_id = dev_id,
		.data = data,
		.buf = buf,
		.len = len,
		.personality = (unsigned int)personality,
		.timeout_ms = 10000,
	};

	return ublk_control_run(ctl, &cmd);
}

struct ublksrv_ctrl_dev_info util_add_dev_as(struct ublk_control *ctl, int personality, uid_t uid,
					     gid_t gid, uint16_t queues, uint16_t depth,
					     uint64_t flags, uint64_t size)
{
	struct ublksrv_ctrl_dev_info info =
		util_dev_info(queues, depth, flags | UBLK_F_UNPRIVILEGED_DEV);
	struct ublk_params params = util_params(size);

	CHECK_OK(util_run_as(ctl, personality, UBLK_U_CMD_ADD_DEV, info.dev_id, 0, &info,
			     sizeof(info)));
	util_chown_nodes(info.dev_id, uid, gid);
	CHECK_OK(util_run_as(ctl, personality, UBLK_U_CMD_SET_PARAMS, info.dev_id, 0, &params,
			     sizeof(params)));
	return info;
}

void util_chown_nodes(uint32_t dev_id, uid_t uid, gid_t gid)
{
	char path[UBLK_NODE_PATH_MAX];

	for (int kind = UBLK_NODE_CHAR; kind <= UBLK_NODE_BLOCK; kind++)
		if (chown(ublk_node_path((enum ublk_node)kind, dev_id, path), uid, gid) < 0 &&
		    errno != ENOENT)
			FAIL("chown %s: %s", path, strerror(errno));
}

void util_become(uid_t uid, gid_t gid)
{
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setresgid(gid, gid, gid) == 0);
	CHECK(setresuid(uid, uid, uid) == 0);
}

pid_t util_fork(int (*body)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int status;

		/* A test that fails must not leave its children to the next one. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = body(arg);
		fflush(NULL);
		_exit(status);
	}
	return pid;
}

int util_wait(pid_t pid)
{
	int status;
	pid_t ret;

	do
		ret = waitpid(pid, &status, 0);
	while (ret < 0 && errno == EINTR);
	CHECK(ret == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct null_server {
	struct ublksrv_ctrl_dev_info info;
	uid_t uid;
	gid_t gid;
	int ready_fd;
	struct io_uring ring;
	int fd;
	uint8_t *buffers;
	const struct ublksrv_io_desc **descs; /* of each queue */
};

static void null_prep(struct null_server *s, uint16_t q, uint16_t tag, uint32_t op, int result)
{
	size_t index = (size_t)q * s->info.queue_depth + tag;
	struct ublksrv_io_cmd cmd = {
		.q_id = q,
		.tag = tag,
		.result = result,
		.addr = (uintptr_t)(s->buffers + index * s->info.max_io_buf_bytes),
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);

	CHECK(sqe != NULL);
	uring_prep_cmd(sqe, sizeof(*sqe), s->fd, op);
	memcpy(uring_cmd_data(sqe), &cmd, sizeof(cmd));
	sqe->user_data = index;
}

static volatile sig_atomic_t null_holds;

static void on_signal(int signo)
{
	null_holds = signo == SIGUSR1;
}

static int null_body(void *arg)
{
	struct null_server *s = arg;
	uint16_t queues = s->info.nr_hw_queues, depth = s->info.queue_depth;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (size_t)queues * depth;
	size_t stride = UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc);
	size_t length = (depth * sizeof(struct ublksrv_io_desc) + page - 1) / page * page;
	char path[UBLK_NODE_PATH_MAX];

	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	if (s->uid)
		util_become(s->uid, s->gid);
	/* Becoming another user has cleared it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	s->fd = open(ublk_node_path(UBLK_NODE_CHAR, s->info.dev_id, path), O_RDWR | O_CLOEXEC);
	CHECK(s->fd >= 0);
	CHECK_OK(io_uring_queue_init((unsigned int)n, &s->ring, 0));
	s->buffers = mmap(NULL, n * s->info.max_io_buf_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(s->buffers != MAP_FAILED);
	s->descs = calloc(queues, sizeof(*s->descs));
	CHECK(s->descs != NULL);
	stride = (stride + page - 1) / page * page;
	for (uint16_t q = 0; q < queues; q++) {
		s->descs[q] = mmap(NULL, length, PROT_READ, MAP_SHARED, s->fd, (off_t)(q * stride));
		CHECK(s->descs[q] != MAP_FAILED);
		for (uint16_t tag = 0; tag < depth; tag++)
			null_prep(s, q, tag, UBLK_U_IO_FETCH_REQ, 0);
	}
	CHECK_EQ(io_uring_submit(&s->ring), n);
	CHECK(write(s->ready_fd, "", 1) == 1);
	close(s->ready_fd);

	for (;;) {
		struct io_uring_cqe *cqe;
		uint64_t index;
		int res, ret = io_uring_submit_and_wait(&s->ring, 1);

		if (ret < 0 && ret != -EINTR)
			return 1;
		if (io_uring_peek_cqe(&s->ring, &cqe) < 0)
			continue;
		index = cqe->user_data;
		res = cqe->res;
		io_uring_cqe_seen(&s->ring, cqe);
		if (res == UBLK_IO_RES_ABORT) {
			if (--n == 0)
				return 0;
		} else if (res == UBLK_IO_RES_OK) {
			uint16_t q = (uint16_t)(index / depth), tag = (uint16_t)(index % depth);
			const struct ublksrv_io_desc *desc = &s->descs[q][tag];
			uint8_t op = ublksrv_get_op(desc);
			bool data = op == UBLK_IO_OP_READ || op == UBLK_IO_OP_WRITE;

			while (null_holds)
				usleep(10000);
			null_prep(s, q, tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ,
				  data ? (int)(desc->nr_sectors << 9) : 0);
		} else {
			fprintf(stderr, "null server: fetch: %s\n", strerror(-res));
			return 1;
		}
	}
}

pid_t util_serve_null(const struct ublksrv_ctrl_dev_info *info, uid_t uid, gid_t gid)
{
	struct null_server server = { .info = *info, .uid = uid, .gid = gid };
	int fds[2];
	pid_t pid;
	char c;

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	server.ready_fd = fds[1];
	pid = util_fork(null_body, &server);
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1)
		FAIL("the server ended with status %d", util_wait(pid));
	close(fds[0]);
	return pid;
}

void util_wait_for_request(uint32_t dev_id)
{
	long long end = util_now_ms() + 30000;
	unsigned int reads = 0, writes = 0;
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/inflight", dev_id);
	while (reads + writes == 0) {
		FILE *file = fopen(path, "re");

		CHECK(file != NULL);
		CHECK_EQ(fscanf(file, "%u %u", &reads, &writes), 2);
		fclose(file);
		CHECK(util_now_ms() < end);
		usleep(10000);
	}
	/* It is on its way; now let it arrive. */
	usleep(200000);
}
