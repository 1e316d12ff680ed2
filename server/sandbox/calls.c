/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls that serving takes, as a seccomp filter for all threads. Everything else is
 * EPERM: a call that was forgotten here then fails and does not take the device with it.
 *
 * io_uring_enter() comes first; but the kernel keeps a bitmap of what a filter always allows
 * (Linux 5.11) and does not run it for those, so order is not what makes it cheap.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "instrumented.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

static const int allowed[] = {
	/* the queues */
	SYS_io_uring_enter,
	SYS_pread64, /* a backing in memory */
	SYS_pwrite64,
	SYS_statx,
	SYS_getpriority, /* pace.c */
	SYS_futex,
/* the main thread: signals, eventfds, the report socket, systemd, the log, the end */
#ifdef SYS_poll
	SYS_poll,
#endif
	SYS_ppoll,
	SYS_read,
	SYS_write,
	SYS_writev,
	SYS_recvmsg,
	SYS_sendto,
	SYS_fdatasync,
	SYS_close,
	/* shared memory, and malloc() */
	SYS_fstat,
#ifdef SYS_newfstatat
	SYS_newfstatat,
#endif
	SYS_munmap,
	SYS_madvise,
	SYS_mremap,
	SYS_brk,
	SYS_getrandom,
	SYS_sched_getaffinity,
	/* what the C library and the compiler do by themselves; clocks where there is no vDSO */
	SYS_clock_gettime,
	SYS_gettimeofday,
	SYS_sched_yield,
	SYS_getpid,
	SYS_gettid,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_restart_syscall,
	SYS_exit,
	SYS_exit_group,
};

/* For a build that does not know what its runtime needs: the least that must fail. */
static const int forbidden[] = {
	SYS_execve,         SYS_execveat, SYS_socket,    SYS_connect,     SYS_mount,
	SYS_umount2,        SYS_unshare,  SYS_setns,     SYS_bpf,         SYS_pivot_root,
	SYS_io_uring_setup, SYS_keyctl,   SYS_setresuid, SYS_personality,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ERRNO        (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))
#define MAX_FILTER   256

struct filter {
	unsigned short n;
	struct sock_filter code[MAX_FILTER];
};

static void add(struct filter *filter, struct sock_filter instruction)
{
	if (filter->n < MAX_FILTER)
		filter->code[filter->n] = instruction;
	filter->n++;
}

#define LOAD(offset)       (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)(offset))
#define RETURN(what)       (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, what)
#define EQUAL(k, yes, no)  (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
#define ANY_OF(k, yes, no) (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, k, yes, no)

/* The low half of an argument: on the machines above the first one. */
static size_t argument(unsigned int number)
{
	return offsetof(struct seccomp_data, args) + number * sizeof(uint64_t);
}

static void add_calls(struct filter *filter, const int *calls, size_t n, uint32_t result)
{
	for (size_t i = 0; i < n; i++) {
		add(filter, EQUAL((uint32_t)calls[i], 0, 1));
		add(filter, RETURN(result));
	}
}

/* Memory, but not to execute. */
static void add_unless_executable(struct filter *filter, int call)
{
	add(filter, EQUAL((uint32_t)call, 0, 4));
	add(filter, LOAD(argument(2)));
	add(filter, ANY_OF(PROT_EXEC, 0, 1));
	add(filter, RETURN(ERRNO));
	add(filter, RETURN(SECCOMP_RET_ALLOW));
}

/* Only with that value of that argument: its low half, the other is not looked at by the kernel. */
static void add_only_with(struct filter *filter, int call, unsigned int number, uint32_t value)
{
	add(filter, EQUAL((uint32_t)call, 0, 4));
	add(filter, LOAD(argument(number)));
	add(filter, EQUAL(value, 1, 0));
	add(filter, RETURN(ERRNO));
	add(filter, RETURN(SECCOMP_RET_ALLOW));
}

/* An existing file, for reading, by way of that directory. That no path leads elsewhere is what
 * confine_paths() sees to. */
static void add_open_for_reading(struct filter *filter, int directory)
{
	add(filter, EQUAL(SYS_openat, 0, 6));
	add(filter, LOAD(argument(0)));
	add(filter, EQUAL((uint32_t)directory, 0, 3));
	add(filter, LOAD(argument(2)));
	add(filter, ANY_OF(O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE, 1, 0));
	add(filter, RETURN(SECCOMP_RET_ALLOW));
	add(filter, RETURN(ERRNO));
}

#ifdef ARCHITECTURE
static void build(struct filter *filter, int readable)
{
	/* A call by another machine's numbers (32-bit ones) means something else by them. */
	add(filter, LOAD(offsetof(struct seccomp_data, arch)));
	add(filter, EQUAL(ARCHITECTURE, 1, 0));
	add(filter, RETURN(SECCOMP_RET_KILL_PROCESS));
	add(filter, LOAD(offsetof(struct seccomp_data, nr)));
	if (INSTRUMENTED) {
		add_calls(filter, forbidden, COUNT(forbidden), ERRNO);
		add(filter, RETURN(SECCOMP_RET_ALLOW));
		return;
	}
	add_calls(filter, allowed, COUNT(allowed), SECCOMP_RET_ALLOW);
	add_unless_executable(filter, SYS_mmap);
	add_unless_executable(filter, SYS_mprotect);
	/* The own thread's pace, and whether shared memory is sealed. */
	add_only_with(filter, SYS_sched_setattr, 0, 0);
	add_only_with(filter, SYS_fcntl, 1, F_GET_SEALS);
	if (readable >= 0)
		add_open_for_reading(filter, readable);
	add(filter, RETURN(ERRNO));
}

/* Room for the memory that ublkd sends, and for the size of the device. */
#define MORE_FILES 8

static void limit_files(void)
{
	int lowest_free = dup(0);
	struct rlimit limit;

	if (lowest_free < 0)
		return;
	close(lowest_free);
	limit.rlim_cur = limit.rlim_max = (rlim_t)lowest_free + MORE_FILES;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int confine_calls(int readable, struct server_error *error)
{
	struct filter filter = { 0 };
	struct sock_fprog program;
	long ret;

	if (!INSTRUMENTED)
		limit_files();

	build(&filter, readable);
	if (filter.n > MAX_FILTER)
		return server_error_set(error, E2BIG, "the seccomp filter has no room");
	program = (struct sock_fprog){ .len = filter.n, .filter = filter.code };
	ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	if (ret < 0 && (errno == ENOSYS || errno == EINVAL)) {
		server_log("no seccomp: this kernel has none, or a container's profile hides it");
		return 0;
	}
	/* Positive: a thread that could not be brought in line. */
	if (ret != 0)
		return server_error_set(error, ret < 0 ? errno : ESRCH,
					"cannot install the seccomp filter: %s",
					ret < 0 ? strerror(errno) : "a thread has one of its own");
	return 0;
}
#else
int confine_calls(int readable, struct server_error *error)
{
	server_log("no seccomp: its filter is not written for this kind of machine");
	return 0;
}
#endif
