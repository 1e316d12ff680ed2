/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a confined server cannot do any more, stage by stage, and that what it needs still works.
 * Each case is a process of its own, since no stage can be taken back. Where this machine has no
 * such confinement (a container's profile, an old kernel) the case says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/sandbox/confine.h"
#include "server/sandbox/instrumented.h"
#include "server/sandbox/landlock.h"
#include "server/sandbox/mount-namespace.h"

#define NOT_HERE 77

/* The tests must run whatever NDEBUG says. */
#define assert(condition)                                                                         \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, \
				errno);                                                           \
			_exit(1);                                                                 \
		}                                                                                 \
	} while (0)

/* Refused, and by what is tested here, not for another reason. */
#define REFUSED(call, why)                  \
	do {                                \
		errno = 0;                  \
		assert((long)(call) == -1); \
		assert(errno == (why));     \
	} while (0)

static struct server_error error;
static char directory[] = "/tmp/test-server-confine.XXXXXX";

static void write_file(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert(fd >= 0 && write(fd, "2048\n", 5) == 5);
	close(fd);
}

static int open_in(int dir, const char *name, int flags)
{
	return openat(dir, name, flags | O_CLOEXEC, 0644);
}

static void test_process(void)
{
	struct rlimit limit;

	assert(confine_process(&error) == 0);
	assert(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	assert(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	assert(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
}

static bool has_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	assert(syscall(SYS_capget, &header, data) == 0);
	return data[0].effective || data[0].permitted || data[1].effective || data[1].permitted;
}

/* Nothing is left of the mounts but what is open, and none can be made. */
static void test_mount_namespace(void)
{
	int open_already = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int readable = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *step = "";
	bool detached;
	struct stat st;
	int ret;

	/* As an ordinary user, which most servers are. */
	if (geteuid() == 0)
		(void)(syscall(SYS_setresgid, 1, 1, 1) || syscall(SYS_setresuid, 1, 1, 1));
	assert(open_already >= 0 && readable >= 0);
	ret = mount_namespace_leave(readable, directory, &detached, &step);
	if (ret < 0) {
		fprintf(stderr, "no mount namespace here: %s: %s\n", step, strerror(-ret));
		assert(!has_capabilities());
		_exit(NOT_HERE);
	}
	assert(!has_capabilities());
	assert(stat("/", &st) == 0 && st.st_nlink == 2);
	REFUSED(stat("/proc", &st), ENOENT);
	REFUSED(stat("/tmp", &st), ENOENT);
	REFUSED(stat("../..", &st) == 0 && st.st_nlink == 2 ? (errno = ENOENT, -1) : 0, ENOENT);
	REFUSED(open("/new", O_WRONLY | O_CREAT, 0644), EROFS);
	REFUSED(mount("x", "/", "tmpfs", 0, NULL), EPERM);
	ret = open_in(open_already, "size", O_RDONLY);
	assert(ret >= 0);
	/* What is to be read later leads nowhere else, unlike any other open directory. */
	if (!detached) {
		fprintf(stderr, "no copy of a directory here\n");
		return;
	}
	assert(open_in(readable, "size", O_RDONLY) >= 0);
	REFUSED(open_in(readable, "../../../../etc/passwd", O_RDONLY), ENOENT);
}

static void test_landlock(void)
{
	int readable = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[128];
	bool restricted;
	const char *step = "";
	int file;

	snprintf(path, sizeof(path), "%s/size", directory);
	file = open(path, O_RDWR | O_CLOEXEC);
	assert(readable >= 0 && file >= 0 && confine_process(&error) == 0);
	assert(landlock_restrict(readable, &restricted, &step) == 0);
	if (!restricted) {
		fprintf(stderr, "no Landlock here: %s\n", step);
		_exit(NOT_HERE);
	}
	/* What was open works, longer and shorter too. */
	assert(pwrite(file, "x", 1, 9000) == 1 && ftruncate(file, 5) == 0);
	assert(open_in(readable, "size", O_RDONLY) >= 0);
	REFUSED(open_in(readable, "size", O_RDWR), EACCES);
	REFUSED(open_in(readable, "new", O_WRONLY | O_CREAT), EACCES);
	REFUSED(unlinkat(readable, "size", 0), EACCES);
	REFUSED(open("/etc/passwd", O_RDONLY), EACCES);
	REFUSED(open("/etc", O_RDONLY | O_DIRECTORY), EACCES);
	REFUSED(open(path, O_WRONLY), EACCES);
	REFUSED(syscall(SYS_execve, "/bin/true", NULL, NULL), EACCES);
	REFUSED(mkdir("/tmp/test-server-confine.new", 0755), EACCES);
}

static int complete(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	assert(io_uring_submit_and_wait(ring, 1) >= 0);
	assert(io_uring_peek_cqe(ring, &cqe) == 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static void test_ring(void)
{
	struct io_uring_params params = { .flags = IORING_SETUP_R_DISABLED };
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct io_uring ring;
	char byte = 'x';
	int ret;

	ret = io_uring_queue_init_params(8, &ring, &params);
	if (ret < 0) {
		fprintf(stderr, "no io_uring here: %s\n", strerror(-ret));
		_exit(NOT_HERE);
	}
	assert(confine_ring(&ring) == 0);
	io_uring_prep_read(io_uring_get_sqe(&ring), zero, &byte, 1, 0);
	assert(complete(&ring) == 1 && byte == 0);
	io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
	assert(complete(&ring) == -EACCES);
	io_uring_prep_close(io_uring_get_sqe(&ring), zero);
	assert(complete(&ring) == -EACCES);
	io_uring_prep_unlinkat(io_uring_get_sqe(&ring), AT_FDCWD, "/nothing", 0);
	assert(complete(&ring) == -EACCES);
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	assert(complete(&ring) == -EACCES);
	/* Nor can the restrictions be changed. */
	assert(confine_ring(&ring) < 0);
}

static void try_calls(int readable)
{
	struct sched_param param = { 0 };
	int zero = eventfd(0, 0);

	/* None is left to be found out by that. */
	assert(INSTRUMENTED || (zero == -1 && errno == EPERM));
	REFUSED(syscall(SYS_execve, "/bin/true", NULL, NULL), EPERM);
	REFUSED(syscall(SYS_execveat, readable, "", NULL, NULL, AT_EMPTY_PATH), EPERM);
	REFUSED(socket(AF_UNIX, SOCK_STREAM, 0), EPERM);
	REFUSED(socket(AF_INET, SOCK_STREAM, 0), EPERM);
	REFUSED(mount("x", "/tmp", "tmpfs", 0, NULL), EPERM);
	REFUSED(unshare(CLONE_NEWUSER), EPERM);
	REFUSED(syscall(SYS_io_uring_setup, 0, NULL), EPERM);
	REFUSED(syscall(SYS_bpf, 0, NULL, 0), EPERM);
	if (INSTRUMENTED)
		return;
	REFUSED(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL), EPERM);
	REFUSED(kill(getppid(), 0), EPERM);
	REFUSED(syscall(SYS_sched_setattr, getpid(), NULL, 0), EPERM);
	REFUSED(fcntl(readable, F_SETOWN, getpid()), EPERM);
	REFUSED(fork(), EPERM);
	REFUSED(syscall(SYS_clone3, NULL, 0), EPERM);
	REFUSED(syscall(SYS_io_uring_register, -1, 0, NULL, 0), EPERM);
	REFUSED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), EPERM);
	REFUSED(unlinkat(readable, "size", 0), EPERM);
	REFUSED(sched_setscheduler(0, SCHED_FIFO, &param), EPERM);
	REFUSED(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EPERM);
	/* Files: below that directory, to read. */
	REFUSED(open("/etc/passwd", O_RDONLY), EPERM);
	REFUSED(open_in(readable, "size", O_RDWR), EPERM);
	REFUSED(open_in(readable, "new", O_WRONLY | O_CREAT), EPERM);
	REFUSED(open_in(readable, ".", O_TMPFILE | O_RDWR), EPERM);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool running, confined;

/* A thread that was there before: the queues' are. */
static void *queue_thread(void *data)
{
	const int *readable = data;

	/* Begun: what the C library does for a new thread is done. */
	pthread_mutex_lock(&lock);
	running = true;
	pthread_cond_broadcast(&changed);
	while (!confined)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	try_calls(*readable);
	/* An arena of its own. */
	free(malloc(1 << 20));
	return NULL;
}

static void test_calls(void)
{
	int readable = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int file = open_in(readable, "size", O_RDWR);
	pthread_t thread;
	struct stat st;
	char *memory;
	int fd;

	assert(confine_process(&error) == 0);
	assert(pthread_create(&thread, NULL, queue_thread, &readable) == 0);
	pthread_mutex_lock(&lock);
	while (!running)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	if (confine_calls(readable, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		_exit(1);
	}
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) {
		fprintf(stderr, "no seccomp here\n");
		_exit(NOT_HERE);
	}
	pthread_mutex_lock(&lock);
	confined = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	assert(pthread_join(thread, NULL) == 0);
	try_calls(readable);

	/* What serving takes. */
	fd = open_in(readable, "size", O_RDONLY);
	assert(fd >= 0 && read(fd, directory, 1) == 1 && close(fd) == 0);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
	assert(memory != MAP_FAILED && madvise(memory, 4096, MADV_DONTDUMP) == 0 &&
	       munmap(memory, 4096) == 0);
	assert(fstat(file, &st) == 0 && fdatasync(file) == 0 && pwrite(file, "1", 1, 0) == 1);
	REFUSED(fcntl(file, F_GET_SEALS), EINVAL);
	REFUSED(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
	memory = malloc(64 << 20);
	memory = realloc(memory, 128 << 20);
	assert(memory);
	free(memory);
}

/* Without a directory, or where paths lead anywhere, no file is opened at all. */
static void test_calls_without_files(void)
{
	int here = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert(confine_process(&error) == 0 && confine_calls(-1, &error) == 0);
	if (INSTRUMENTED || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0)
		_exit(NOT_HERE);
	REFUSED(open_in(here, "size", O_RDONLY), EPERM);
	REFUSED(open_in(AT_FDCWD, "/etc/passwd", O_RDONLY), EPERM);
}

static int run(const char *name, void (*test)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		test();
		_exit(0);
	}
	assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
		printf("%s: not on this machine\n", name);
	else if (status != 0)
		printf("%s: FAILED (wait status 0x%x)\n", name, (unsigned int)status);
	else
		printf("%s: ok\n", name);
	return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == NOT_HERE);
}

int main(void)
{
	char path[128];
	bool good;

	assert(mkdtemp(directory) && chmod(directory, 0755) == 0);
	write_file("size");
	good = run("process", test_process);
	good &= run("mount namespace", test_mount_namespace);
	good &= run("landlock", test_landlock);
	good &= run("ring", test_ring);
	good &= run("calls", test_calls);
	good &= run("calls without files", test_calls_without_files);
	snprintf(path, sizeof(path), "%s/size", directory);
	unlink(path);
	rmdir(directory);
	return good ? 0 : 1;
}
