/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attack-children MODE PARENT
 *
 * Does what the caller may do, and tries what it may not, to every child of the process PARENT that
 * carries the caller's uid, as soon as it does, until it is killed. The kernel lists a process's
 * children for everybody, so that none is missed for long.
 *
 *	kill	SIGKILL			stop	SIGSTOP
 *	signals	all others		slow	the last in every queue for a processor
 *	look	SIGSTOP, every way to look into it or to take what it has, SIGCONT
 *
 * Prints "hit" for each child that was caught, and "inside WAY" for each way in.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void inside(const char *way, bool is)
{
	if (is)
		printf("inside %s\n", way);
}

static int send_kill(pid_t pid)
{
	return kill(pid, SIGKILL);
}

static int send_stop(pid_t pid)
{
	return kill(pid, SIGSTOP);
}

static int send_signals(pid_t pid)
{
	int ret = -1;

	for (int signo = 1; signo <= 64; signo++)
		if (signo != SIGKILL && signo != SIGSTOP && kill(pid, signo) == 0)
			ret = 0;
	return ret;
}

static int slow_down(pid_t pid)
{
	struct sched_param param = { 0 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(pid, sizeof(cpus), &cpus) < 0)
		return -1;
	setpriority(PRIO_PROCESS, (id_t)pid, 19);
	sched_setscheduler(pid, SCHED_IDLE, &param);
	return 0;
}

/* One that has ended already has files, too: with nothing in them. */
static void look_by_path(pid_t pid, const char *name, int flags)
{
	char path[64], byte;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return;
	inside(name, (flags & O_DIRECTORY) || read(fd, &byte, sizeof(byte)) > 0);
	close(fd);
}

static int look(pid_t pid)
{
	static const char *const files[] = { "mem", "maps", "environ", "auxv", "io" };
	static const char *const folders[] = { "fd", "map_files", "root", "cwd" };
	struct rlimit limit = { 0, 0 };
	char local[8];
	struct iovec ours = { local, sizeof(local) };
	struct iovec theirs = { (void *)look, sizeof(local) };
	int pidfd;

	if (kill(pid, SIGSTOP) < 0)
		return -1;
	inside("ptrace", ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0);
	inside("prlimit", prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0);
	inside("process_vm_readv", process_vm_readv(pid, &ours, 1, &theirs, 1, 0) > 0);
	inside("process_vm_writev", process_vm_writev(pid, &ours, 1, &theirs, 1, 0) > 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		look_by_path(pid, files[i], O_RDONLY);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		look_by_path(pid, folders[i], O_RDONLY | O_DIRECTORY);
	look_by_path(pid, "mem", O_RDWR);
	look_by_path(pid, "oom_score_adj", O_RDWR);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	for (int fd = 0; pidfd >= 0 && fd < 32; fd++)
		inside("pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0);
	close(pidfd);
	kill(pid, SIGCONT);
	return 0;
}

static const struct {
	const char *name;
	int (*attack)(pid_t pid); /* 0: the child was caught */
} modes[] = {
	{ "kill", send_kill }, { "stop", send_stop }, { "signals", send_signals },
	{ "slow", slow_down }, { "look", look },
};

int main(int argc, char **argv)
{
	int (*attack)(pid_t pid) = NULL;
	char path[64], list[4096];
	pid_t last = 0;
	int fd;

	for (size_t i = 0; argc == 3 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			attack = modes[i].attack;
	if (!attack) {
		fprintf(stderr, "usage: attack-children kill|stop|signals|slow|look PARENT\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(path, sizeof(path), "/proc/%s/task/%s/children", argv[2], argv[2]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		return 2;
	}
	puts("ready");
	for (;;) {
		ssize_t len = pread(fd, list, sizeof(list) - 1, 0);

		/* A child lives for longer than that. */
		usleep(50);
		if (len < 0)
			return 0;
		list[len] = '\0';
		for (char *word = strtok(list, " "); word; word = strtok(NULL, " ")) {
			pid_t pid = (pid_t)strtol(word, NULL, 10);

			if (pid <= 1 || pid == last || attack(pid) < 0)
				continue;
			last = pid;
			puts("hit");
		}
	}
}
