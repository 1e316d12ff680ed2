/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In front of every file of a build with sanitizers (meson.build): what they are to do, without an
 * environment variable that would have to reach a program through systemd, udev and setpriv. In the
 * test machines reports go to files, which their runners look for after each test; elsewhere, and
 * where no file can be written, to standard error.
 */
#pragma once

#include <errno.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SANITIZERS_DIRECTORY "/var/lib/ublk-instrumented"
/* The sanitizer's own functions call these before it is ready. */
#define SANITIZERS_HOOK                                                           \
	__attribute__((weak, used, visibility("default"), no_sanitize("address"), \
		       no_sanitize("undefined"), no_sanitize("thread")))

#define SANITIZERS_OPTIONS(more)                                                    \
	(access(SANITIZERS_DIRECTORY, W_OK) == 0 ? "log_path=" SANITIZERS_DIRECTORY \
						   "/report:log_exe_name=1:" more   \
						 : more)

const char *__asan_default_options(void);
SANITIZERS_HOOK const char *__asan_default_options(void)
{
	/* memory of many small processes: what was freed is kept for a while, not for long */
	return SANITIZERS_OPTIONS("quarantine_size_mb=16:malloc_context_size=15");
}

const char *__ubsan_default_options(void);
SANITIZERS_HOOK const char *__ubsan_default_options(void)
{
	return SANITIZERS_OPTIONS("print_stacktrace=1");
}

/*
 * The search for leaks attaches to the process with ptrace, which ublk-server forbids everybody,
 * and a system call filter (udev's) may forbid the process: there is no process -1, unless one may
 * not ask. The tests' own programs may end as they are.
 */
int __lsan_is_turned_off(void);
SANITIZERS_HOOK int __lsan_is_turned_off(void)
{
#ifdef SANITIZERS_WITHOUT_LEAKS
	return 1;
#endif
	return prctl(PR_GET_DUMPABLE) != 1 ||
	       (syscall(SYS_ptrace, PTRACE_ATTACH, -1, 0, 0) < 0 && errno != ESRCH);
}

const char *__tsan_default_options(void);
SANITIZERS_HOOK const char *__tsan_default_options(void)
{
	/*
	 * A server that ends because of an error leaves its threads to the kernel, and GLib its
	 * pool's; nobody waits for them at the end.
	 */
	return SANITIZERS_OPTIONS("exitcode=66:second_deadlock_stack=1:report_thread_leaks=0:"
				  "atexit_sleep_ms=0");
}

const char *__tsan_default_suppressions(void);
SANITIZERS_HOOK const char *__tsan_default_suppressions(void)
{
	/*
	 * GLib is not built with the sanitizer, which therefore does not see what orders its
	 * threads among themselves (futexes and its own atomics); what orders ours by way of GLib
	 * thread-order.c tells it. Of g_rec_mutex_lock() only the way out looks like ours.
	 */
	return "mutex:_get_type_once\n"
	       "called_from_lib:libglib-2.0.so\n"
	       "called_from_lib:libgio-2.0.so\n"
	       "called_from_lib:libgobject-2.0.so\n";
}
