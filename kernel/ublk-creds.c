/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Somebody else's credentials for control commands. See ublk-creds.h.
 *
 * What a hostile user could try while a process of ours carries his uid, and what stands against:
 *
 * - ptrace it, look into it through /proc, take its descriptors with pidfd_getfd(), change its
 *   limits: all of these demand that its saved uid is his too, and that is 0. Nor is it dumpable.
 * - signal it: allowed, since its real uid is his (as it must be: the driver makes the real uid
 *   the owner). Every signal that can be blocked is, so that neither our handlers run with his
 *   identity nor a core is written. SIGKILL ends the child, which this process sees on the pidfd.
 *   SIGSTOP makes it late (so does a lower priority, or another scheduling class), against which
 *   the caller has a deadline and ublk_creds_abort().
 * - gain from what it inherited: it closes every descriptor but the ring and its end of the pipe
 *   while it is still ours, so that one that he stops holds nothing of use. The ring's queues are
 *   not mapped in it (MADV_DONTFORK).
 * - forge its answer: that comes through a pipe whose other end nobody but the child has.
 * - kill it between registration and answer, again and again, until the ring's 65535 numbers for
 *   personalities are used up: see sweep_lost().
 *
 * The registered credentials are a copy of the child's, saved uid and all. The kernel asks a
 * command's credentials for their real ids (the owner), their file system ids (the node's
 * permissions) and their capabilities, of which there are none; the saved uid counts only for a
 * task that calls setuid(), and no task has these credentials but the child, which exits.
 */
#include "ublk-creds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublk-control-internal.h"

/* On some 32-bit machines the plain names are calls that know 16 bits of an id only. */
#ifdef SYS_setresuid32
#define NR(name) SYS_##name##32
#else
#define NR(name) SYS_##name
#endif

#define MAX_GROUPS 64
/* How long the synchronous form waits for its child. */
#define REGISTER_TIMEOUT_MS 5000
/* How many children may die on the way before their leavings are looked for. */
#define MAX_LOST 32

/* All signals, those that the C library keeps for itself included: the user may send them. */
typedef uint64_t all_signals;

static void block_signals(all_signals *old)
{
	const all_signals all = ~(all_signals)0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, sizeof(all));
}

static void restore_signals(const all_signals *old)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL, sizeof(*old));
}

/* -------------------------------------------------------------------------------------------------
 * In the child: nothing but system calls. Locks may be held by threads that do not exist here.
 */

/* Close everything but two descriptors, whichever is the greater. */
static int keep_only(unsigned int a, unsigned int b)
{
	unsigned int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 0 && syscall(SYS_close_range, 0U, low - 1, 0U) < 0)
		return -errno;
	if (high - low > 1 && syscall(SYS_close_range, low + 1, high - 1, 0U) < 0)
		return -errno;
	if (syscall(SYS_close_range, high + 1, ~0U, 0U) < 0)
		return -errno;
	return 0;
}

/*
 * The C library's setters would have every thread follow, of which there are none here: hence the
 * system calls. Groups first, while the right to change them is there.
 */
static int become(uid_t uid, gid_t gid, const gid_t *groups, size_t n)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(NR(setgroups), n, groups) < 0)
		return -errno;
	if (syscall(NR(setresgid), gid, gid, gid) < 0)
		return -errno;
	if (syscall(NR(setresuid), uid, uid, 0) < 0)
		return -errno;
	/*
	 * As not all three uids have left 0, the kernel has kept the permitted capabilities (all of
	 * them, had uid been 0 as well); and it is the absence of CAP_SYS_ADMIN that makes a device
	 * unprivileged. What goes from the inheritable set goes from the ambient set too.
	 */
	if (syscall(SYS_capset, &header, none) < 0)
		return -errno;
	return 0;
}

/* The kernel keeps groups in an order of its own. */
static bool is_subset(const gid_t *some, const gid_t *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (size_t j = 0; j < n && !found; j++)
			found = all[j] == some[i];
		if (!found)
			return false;
	}
	return true;
}

/* Trust no step above: a command with more rights than the user's would be the user's to abuse. */
static int verify(uid_t uid, gid_t gid, const gid_t *groups, size_t n)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	gid_t now[MAX_GROUPS + 1];
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;
	long n_now;

	if (syscall(NR(getresuid), &ruid, &euid, &suid) < 0 || ruid != uid || euid != uid ||
	    suid != 0)
		return -EPERM;
	if (syscall(NR(getresgid), &rgid, &egid, &sgid) < 0 || rgid != gid || egid != gid ||
	    sgid != gid)
		return -EPERM;
	/* Asked with a value that is none, these change nothing and tell what is. */
	if ((uid_t)syscall(NR(setfsuid), (uid_t)-1) != uid ||
	    (gid_t)syscall(NR(setfsgid), (gid_t)-1) != gid)
		return -EPERM;

	n_now = syscall(NR(getgroups), MAX_GROUPS + 1, now);
	if (n_now < 0 || (size_t)n_now != n)
		return -EPERM;
	if (!is_subset(now, groups, n) || !is_subset(groups, now, n))
		return -EPERM;

	if (syscall(SYS_capget, &header, caps) < 0)
		return -EPERM;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (caps[i].effective || caps[i].permitted || caps[i].inheritable)
			return -EPERM;
	return 0;
}

#ifdef UBLK_COVERAGE
void __gcov_dump(void);
#endif

static int child_register(int ring_fd, int result_fd, pid_t parent, uid_t uid, gid_t gid,
			  const gid_t *groups, size_t n)
{
	long personality;
	int ret;

	ret = keep_only((unsigned int)ring_fd, (unsigned int)result_fd);
	if (ret < 0)
		return ret;
	syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	ret = become(uid, gid, groups, n);
	if (ret < 0)
		return ret;
	/* A change of credentials resets both to what the system's settings say. */
	if (syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	/* The parent may have died before: nobody would ever end a child that is stopped. */
	if (syscall(SYS_getppid) != parent)
		return -ECHILD;
	ret = verify(uid, gid, groups, n);
	if (ret < 0)
		return ret;
	personality = syscall(SYS_io_uring_register, ring_fd, IORING_REGISTER_PERSONALITY, NULL, 0);
	return personality < 0 ? -errno : (int)personality;
}

/* -------------------------------------------------------------------------------------------------
 * In the parent
 */

static bool is_known(const struct ublk_control *ctl, unsigned int personality)
{
	return ctl->personalities[personality / 8] & (1U << personality % 8);
}

static void set_known(struct ublk_control *ctl, unsigned int personality, bool known)
{
	uint8_t bit = (uint8_t)(1U << personality % 8);

	if (known)
		ctl->personalities[personality / 8] |= bit;
	else
		ctl->personalities[personality / 8] &= (uint8_t)~bit;
}

/*
 * A child that was killed may have registered itself just before, under a number that it told
 * nobody. Numbers are given in turn and there are 65535, so that a user who is quick with SIGKILL
 * could use them up and shut everybody out. Once in a while, when no child is on its way that could
 * be robbed of its number, every number that nobody has is given back; for one that does not exist
 * that costs a failed system call.
 */
static void sweep_lost(struct ublk_control *ctl)
{
	if (ctl->creds_children > 0 || ctl->creds_lost < MAX_LOST)
		return;
	for (unsigned int i = 1; i <= UBLK_PERSONALITY_MAX; i++)
		if (!is_known(ctl, i))
			io_uring_unregister_personality(&ctl->ring, (int)i);
	ctl->creds_lost = 0;
}

/* Reap the child, take its answer and let go of everything that it had. */
static int child_end(struct ublk_creds_child *child)
{
	struct ublk_control *ctl = child->ctl;
	int answer = 0, status = 0;
	ssize_t n;
	pid_t ret;

	do
		ret = waitpid(child->pid, &status, 0);
	while (ret < 0 && errno == EINTR);
	/* The pipe, not the status, has the answer: eight bits are too few. */
	n = read(child->result_fd, &answer, sizeof(answer));
	if (n != sizeof(answer) || answer == 0 || answer > UBLK_PERSONALITY_MAX)
		answer = -ECHILD;
	if (answer > 0)
		set_known(ctl, (unsigned int)answer, true);
	else if (answer == -ECHILD)
		ctl->creds_lost++;

	close(child->pidfd);
	close(child->result_fd);
	child->pidfd = child->result_fd = -1;
	child->pid = -1;
	ctl->creds_children--;
	return answer;
}

int ublk_creds_start(struct ublk_control *ctl, uid_t uid, gid_t gid, const gid_t *groups, size_t n,
		     struct ublk_creds_child *child)
{
	int ring_fd = ublk_control_get_ring_fd(ctl);
	int pipe_fds[2], pidfd = -1, ret;
	pid_t parent = getpid(), pid;
	all_signals old;

	*child = (struct ublk_creds_child){ .pid = -1, .pidfd = -1, .result_fd = -1, .ctl = ctl };
	/* -1 is "leave it as it is" to the kernel: as it is, it is root. */
	if (uid == (uid_t)-1 || gid == (gid_t)-1 || n > MAX_GROUPS)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (groups[i] == (gid_t)-1)
			return -EINVAL;
	sweep_lost(ctl);

	/* Without blocking: if the child was killed, there is nothing to be read. */
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;

	/*
	 * _Fork() and not fork(): other threads may hold locks, and handlers that libraries have
	 * registered are not for this child. Not clone() with CLONE_VM either: a process that
	 * carries the user's identity shares no memory with us.
	 */
	block_signals(&old);
	pid = _Fork();
	if (pid == 0) {
		int answer = child_register(ring_fd, pipe_fds[1], parent, uid, gid, groups, n);

#ifdef UBLK_COVERAGE
		/* It ends without what a process does at its end, and is killed when it has
		 * answered. Only where no other thread's lock can be held for ever, nor somebody
		 * be disturbed: tests/driver/driver-creds.c says so. */
		if (getenv("UBLK_COVERAGE_OF_CHILDREN"))
			__gcov_dump();
#endif
		/* Fewer bytes than a pipe takes at once: written whole, or not at all. */
		syscall(SYS_write, pipe_fds[1], &answer, sizeof(answer));
		for (;;)
			syscall(SYS_exit_group, 0);
	}
	ret = -errno;
	restore_signals(&old);
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return ret;
	}

	/* The number is the child's until it is reaped, and nobody else reaps it. */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
	if (pidfd < 0) {
		ret = -errno;
		kill(pid, SIGKILL);
	}
	child->pid = pid;
	child->pidfd = pidfd;
	child->result_fd = pipe_fds[0];
	ctl->creds_children++;
	if (pidfd < 0) {
		int personality = child_end(child);

		if (personality > 0)
			ublk_creds_drop(ctl, personality);
		return ret;
	}
	return 0;
}

int ublk_creds_finish(struct ublk_creds_child *child)
{
	return child_end(child);
}

void ublk_creds_kill(struct ublk_creds_child *child)
{
	/* By the pidfd; SIGKILL also ends what is stopped. Allowed by the child's saved uid. */
	if (syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0U) < 0 && errno != ESRCH)
		kill(child->pid, SIGKILL);
}

void ublk_creds_abort(struct ublk_creds_child *child)
{
	struct ublk_control *ctl = child->ctl;
	int personality;

	if (child->pid <= 0)
		return;
	ublk_creds_kill(child);
	personality = child_end(child);
	/* It may have come to its end all the same, and nobody is going to use it. */
	if (personality > 0)
		ublk_creds_drop(ctl, personality);
}

void ublk_creds_drop(struct ublk_control *ctl, int personality)
{
	if (personality <= 0 || personality > UBLK_PERSONALITY_MAX)
		return;
	set_known(ctl, (unsigned int)personality, false);
	io_uring_unregister_personality(&ctl->ring, personality);
}

int ublk_creds_register(struct ublk_control *ctl, uid_t uid, gid_t gid, const gid_t *groups,
			size_t n)
{
	struct ublk_creds_child child;
	struct pollfd pfd;
	int ret;

	ret = ublk_creds_start(ctl, uid, gid, groups, n, &child);
	if (ret < 0)
		return ret;
	pfd = (struct pollfd){ .fd = child.pidfd, .events = POLLIN };
	do
		ret = poll(&pfd, 1, REGISTER_TIMEOUT_MS);
	while (ret < 0 && errno == EINTR);
	if (ret > 0)
		return ublk_creds_finish(&child);
	ublk_creds_abort(&child);
	return ret < 0 ? -errno : -ETIMEDOUT;
}
