/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The child that takes on a user's identity: it becomes exactly that, the user can do no more to it
 * than stop or kill it, and neither costs anything.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver-util.h"
#include "ublk-control-internal.h"
#include "ublk-creds.h"

static void test_arguments(struct ublk_control *ctl)
{
	gid_t groups[65] = { 0 };

	STEP("\"leave it as it is\" is nobody's id; 65 groups are too many");
	CHECK_EQ(ublk_creds_register(ctl, (uid_t)-1, ALICE_GID, NULL, 0), -EINVAL);
	CHECK_EQ(ublk_creds_register(ctl, ALICE_UID, (gid_t)-1, NULL, 0), -EINVAL);
	CHECK_EQ(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, groups, 65), -EINVAL);
	groups[0] = (gid_t)-1;
	CHECK_EQ(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, groups, 1), -EINVAL);
}

static int get_info(struct ublk_control *ctl, int personality, uint32_t dev_id)
{
	struct ublksrv_ctrl_dev_info info;

	return util_run_as(ctl, personality, UBLK_U_CMD_GET_DEV_INFO2, dev_id, 0, &info,
			   sizeof(info));
}

/* Groups count in the judgement, and only those that were given. */
static void test_groups(struct ublk_control *ctl)
{
	const gid_t some[] = { 5000, 4000, 4000 }, other[] = { 4001 };
	int alice = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));
	int member = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, some, 3));
	int other_member = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, other, 1));
	int nobody = CHECK_OK(ublk_creds_register(ctl, BOB_UID, BOB_GID, NULL, 0));
	struct ublksrv_ctrl_dev_info info =
		util_add_dev_as(ctl, alice, ALICE_UID, ALICE_GID, 1, 1, 0, 1 << 20);
	char path[32];

	STEP("supplementary groups are those that were given, and no more");
	snprintf(path, sizeof(path), "/dev/ublkc%u", info.dev_id);
	CHECK(chown(path, ALICE_UID, 4000) == 0 && chmod(path, 0660) == 0);
	CHECK_OK(get_info(ctl, member, info.dev_id));
	CHECK_EQ(get_info(ctl, other_member, info.dev_id), -EACCES);
	CHECK_EQ(get_info(ctl, nobody, info.dev_id), -EACCES);
	STEP("root's own group is not among them");
	CHECK(chown(path, ALICE_UID, 0) == 0);
	CHECK_EQ(get_info(ctl, nobody, info.dev_id), -EACCES);

	STEP("a personality that was dropped is none");
	ublk_creds_drop(ctl, nobody);
	CHECK_EQ(get_info(ctl, nobody, info.dev_id), -EINVAL);
	ublk_creds_drop(ctl, member);
	ublk_creds_drop(ctl, other_member);
	util_del_dev(ctl, info.dev_id);
	ublk_creds_drop(ctl, alice);
}

/* uid 0 as such has no power: what makes a device privileged is the capability. */
static void test_root(struct ublk_control *ctl)
{
	int root = CHECK_OK(ublk_creds_register(ctl, 0, 0, NULL, 0));
	struct ublksrv_ctrl_dev_info info = util_dev_info(1, 1, 0);

	STEP("uid 0 without capabilities is an ordinary user");
	CHECK_EQ(util_run_as(ctl, root, UBLK_U_CMD_ADD_DEV, info.dev_id, 0, &info, sizeof(info)),
		 -EPERM);
	info.flags = UBLK_F_UNPRIVILEGED_DEV;
	CHECK_OK(util_run_as(ctl, root, UBLK_U_CMD_ADD_DEV, info.dev_id, 0, &info, sizeof(info)));
	CHECK(info.flags & UBLK_F_UNPRIVILEGED_DEV);
	util_del_dev(ctl, info.dev_id);
	ublk_creds_drop(ctl, root);
}

static void check_gone(pid_t pid)
{
	CHECK(waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD);
	CHECK(kill(pid, 0) < 0 && errno == ESRCH);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/*
 * A child of a process with a real-time class (that it does not inherit) on the same processor does
 * not run until the parent sleeps: so it is met at its very beginning.
 */
static void hold_children(bool hold)
{
	struct sched_param param = { .sched_priority = hold ? 10 : 0 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (int i = 0; i < (hold ? 1 : 64); i++)
		CPU_SET(i, &cpus);
	CHECK(sched_setaffinity(0, sizeof(cpus), &cpus) == 0);
	CHECK(sched_setscheduler(0, hold ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER,
				 &param) == 0);
}

static void test_stopped(struct ublk_control *ctl)
{
	struct ublk_creds_child child;
	struct pollfd pfd;
	long long begin;
	int fds = count_fds();
	pid_t pid;

	STEP("a child that is stopped does not end, and is aborted");
	hold_children(true);
	CHECK_OK(ublk_creds_start(ctl, ALICE_UID, ALICE_GID, NULL, 0, &child));
	pid = child.pid;
	CHECK(kill(pid, SIGSTOP) == 0);
	hold_children(false);
	pfd = (struct pollfd){ .fd = child.pidfd, .events = POLLIN };
	CHECK_EQ(poll(&pfd, 1, 300), 0);
	begin = util_now_ms();
	ublk_creds_abort(&child);
	CHECK(util_now_ms() - begin < 1000);
	check_gone(pid);
	CHECK_EQ(count_fds(), fds);

	STEP("a child that is killed: -ECHILD");
	hold_children(true);
	CHECK_OK(ublk_creds_start(ctl, ALICE_UID, ALICE_GID, NULL, 0, &child));
	pid = child.pid;
	CHECK(kill(pid, SIGKILL) == 0);
	hold_children(false);
	pfd = (struct pollfd){ .fd = child.pidfd, .events = POLLIN };
	CHECK_EQ(poll(&pfd, 1, 5000), 1);
	CHECK_EQ(ublk_creds_finish(&child), -ECHILD);
	check_gone(pid);
	CHECK_EQ(count_fds(), fds);

	STEP("aborting one that had come to its end takes its personality back");
	CHECK_OK(ublk_creds_start(ctl, ALICE_UID, ALICE_GID, NULL, 0, &child));
	pfd = (struct pollfd){ .fd = child.pidfd, .events = POLLIN };
	CHECK_EQ(poll(&pfd, 1, 5000), 1);
	ublk_creds_abort(&child);
	CHECK_EQ(count_fds(), fds);
	CHECK_EQ(ctl->creds_children, 0);
	for (unsigned int i = 0; i < sizeof(ctl->personalities); i++)
		CHECK_EQ(ctl->personalities[i], 0);
}

/* Shared with the attacker: alice, who stops the child, or sends it a signal, as soon as it is
 * hers. */
static struct attack {
	volatile pid_t target;
	volatile bool stop;
	volatile bool caught;
	volatile bool quit;
	volatile int handled; /* signals that were handled, in whatever process */
} * attack;

static void on_signal(int signo)
{
	attack->handled++;
}

static int attacker_body(void *arg)
{
	util_become(ALICE_UID, ALICE_GID);
	while (!attack->quit) {
		pid_t pid = attack->target;

		if (pid <= 0 || kill(pid, attack->stop ? SIGSTOP : SIGUSR1) < 0)
			continue;
		attack->caught = true;
		while (!attack->quit && attack->target == pid)
			usleep(1000);
	}
	return 0;
}

struct inspection {
	pid_t pid;
};

/* As alice, with a stopped process that has her uid: how far does she get? */
static int inspect_body(void *arg)
{
	pid_t pid = ((struct inspection *)arg)->pid;
	struct rlimit limit = { 0, 0 };
	char path[64];
	int pidfd, fd;

	util_become(ALICE_UID, ALICE_GID);
	CHECK(ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 && errno == EPERM);
	CHECK(prlimit(pid, RLIMIT_CPU, &limit, NULL) < 0 && errno == EPERM);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	CHECK(open(path, O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	CHECK(open(path, O_RDONLY) < 0 && errno == EACCES);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(pidfd >= 0);
	for (fd = 0; fd < 32; fd++)
		CHECK(syscall(SYS_pidfd_getfd, pidfd, fd, 0) < 0 && (errno == EPERM));
	close(pidfd);
	return 0;
}

static void inspect(pid_t pid)
{
	struct inspection inspection = { pid };
	char path[64], line[256], target[64];
	unsigned int uids[4];
	bool ring = false;
	FILE *file;
	int fds = 0;

	CHECK_EQ(util_wait(util_fork(inspect_body, &inspection)), 0);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Uid: %u %u %u %u", &uids[0], &uids[1], &uids[2], &uids[3]) == 4) {
			CHECK_EQ(uids[0], ALICE_UID);
			CHECK_EQ(uids[2], 0);
		}
	fclose(file);
	for (int fd = 0; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		ring = ring || strstr(target, "io_uring");
		fds++;
	}
	/* The ring and the pipe. */
	CHECK(ring);
	CHECK_EQ(fds, 2);
}

static bool is_stopped(pid_t pid)
{
	char path[32], line[128] = "";
	const char *name_end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file && !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	name_end = strrchr(line, ')');
	return name_end && name_end[1] == ' ' && name_end[2] == 'T';
}

static void test_hostile_user(struct ublk_control *ctl)
{
	int stopped = 0, signalled = 0;
	pid_t attacker;

	STEP("alice stops the child, or signals it, while it carries her identity");
	attack = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(attack != MAP_FAILED);
	signal(SIGUSR1, on_signal);
	attacker = util_fork(attacker_body, NULL);
	for (int i = 0; i < 400 && (stopped < 5 || signalled < 20); i++) {
		long long end = util_now_ms() + 10000;
		struct ublk_creds_child child;
		struct pollfd pfd;
		int ret;

		attack->caught = false;
		attack->stop = i % 2;
		CHECK_OK(ublk_creds_start(ctl, ALICE_UID, ALICE_GID, NULL, 0, &child));
		attack->target = child.pid;
		pfd = (struct pollfd){ .fd = child.pidfd, .events = POLLIN };
		do
			ret = poll(&pfd, 1, 20);
		while (ret == 0 && !(attack->stop && attack->caught) && util_now_ms() < end);
		/* Stopped, and not just about to end. */
		while (ret == 0 && !is_stopped(child.pid) && util_now_ms() < end)
			ret = poll(&pfd, 1, 20);
		if (ret == 1) {
			ublk_creds_drop(ctl, CHECK_OK(ublk_creds_finish(&child)));
			signalled += attack->caught && !attack->stop;
		} else {
			CHECK(attack->stop && attack->caught);
			inspect(child.pid);
			ublk_creds_abort(&child);
			stopped++;
		}
		attack->target = 0;
	}
	attack->quit = true;
	CHECK_EQ(util_wait(attacker), 0);
	STEP("stopped %d times, signalled %d times, for nothing", stopped, signalled);
	/* The handler would be code of ours that runs with her identity. */
	CHECK_EQ(attack->handled, 0);
	signal(SIGUSR1, SIG_DFL);
}

/* Numbers that killed children have taken along come back. */
static void test_lost(struct ublk_control *ctl)
{
	struct ublksrv_ctrl_dev_info info = util_add_dev(ctl, 1, 1, 0, 1 << 20);
	int kept = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));
	/* What a child does before it is killed. */
	int lost = CHECK_OK(io_uring_register_personality(&ctl->ring));
	int next;

	STEP("what a killed child had registered is found and given back, what others hold is not");
	CHECK_OK(get_info(ctl, lost, info.dev_id));
	ctl->creds_lost = 1000;
	next = CHECK_OK(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0));
	CHECK_EQ(get_info(ctl, lost, info.dev_id), -EINVAL);
	CHECK_EQ(get_info(ctl, kept, info.dev_id), -EPERM);
	CHECK_EQ(get_info(ctl, next, info.dev_id), -EPERM);
	CHECK_EQ(ctl->creds_lost, 0);
	ublk_creds_drop(ctl, kept);
	ublk_creds_drop(ctl, next);
	util_del_dev(ctl, info.dev_id);
}

/* As a process that may not change its ids at all. */
static int powerless_body(void *arg)
{
	struct ublk_control *ctl = NULL;

	CHECK(chmod(UBLK_CONTROL_PATH, 0666) == 0);
	util_become(BOB_UID, BOB_GID);
	CHECK_OK(ublk_control_open(NULL, 4, &ctl));
	CHECK_EQ(ublk_creds_register(ctl, ALICE_UID, ALICE_GID, NULL, 0), -EPERM);
	ublk_control_close(ctl);
	return 0;
}

int main(void)
{
	struct ublk_control *ctl = util_open_control();

	/* `./run coverage` counts what runs in the children, but where they are looked into. */
	CHECK(setenv("UBLK_COVERAGE_OF_CHILDREN", "1", 1) == 0);
	test_arguments(ctl);
	test_groups(ctl);
	test_root(ctl);
	test_stopped(ctl);
	test_lost(ctl);
	CHECK(unsetenv("UBLK_COVERAGE_OF_CHILDREN") == 0);
	test_hostile_user(ctl);
	STEP("without the right to change ids: the kernel's refusal");
	CHECK_EQ(util_wait(util_fork(powerless_body, NULL)), 0);
	CHECK(chmod(UBLK_CONTROL_PATH, 0600) == 0);
	ublk_control_close(ctl);
	return 0;
}
