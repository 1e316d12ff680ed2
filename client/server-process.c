/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "server-process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"

#define KILL_AFTER_MS 3000

/* Runs in the child between fork and exec: nothing but system calls. */
static void prepare_child(gpointer data)
{
	pid_t parent = GPOINTER_TO_INT(data);
	sigset_t none;

	/*
	 * In the foreground the device lives as long as the command: when we are killed, nobody is
	 * left to end the server, which then stops cleanly by itself. The signal comes when the
	 * thread that forked ends, and that is our first one. If we are gone already, it would
	 * never come.
	 */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(127);
	/*
	 * Not the terminal's: Ctrl-C, Ctrl-Z and a hang-up are for us, who end it in good order. A
	 * stopped server would hang every reader of the device until the kernel kills it.
	 */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

ServerProcess *server_process_start(GPtrArray *argv, int char_fd, int report_fd, GError **error)
{
	const int source_fds[] = { char_fd, report_fd };
	const int target_fds[] = { SERVER_PROCESS_CHAR_FD, SERVER_PROCESS_REPORT_FD };
	const char *path = g_getenv(SERVER_PROCESS_ENVIRONMENT);
	g_autoptr(ServerProcess) process = g_new0(ServerProcess, 1);

	process->pidfd = -1;
	g_free(argv->pdata[0]);
	argv->pdata[0] = g_strdup(path ? path : UBLK_SERVER_PATH);
	if (!g_spawn_async_with_pipes_and_fds(
		    NULL, (const char *const *)argv->pdata, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
		    prepare_child, GINT_TO_POINTER(getpid()), -1, -1, -1, source_fds, target_fds,
		    G_N_ELEMENTS(source_fds), &process->pid, NULL, NULL, NULL, error))
		return NULL;
	/* Ours and not waited for yet: the number cannot be somebody else's. */
	process->pidfd = pidfd_open(process->pid, 0);
	if (process->pidfd < 0) {
		g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "pidfd_open: %s",
			    g_strerror(errno));
		return NULL;
	}
	return g_steal_pointer(&process);
}

static void reap(ServerProcess *process, int flags)
{
	pid_t pid;

	do
		pid = waitpid(process->pid, &process->wait_status, flags);
	while (pid < 0 && errno == EINTR);
	process->ended = pid != 0;
}

static void wait_for_end(ServerProcess *process, int timeout_ms)
{
	struct pollfd end = { .fd = process->pidfd, .events = POLLIN };

	if (poll(&end, 1, timeout_ms) > 0)
		reap(process, WNOHANG);
}

static void ask_to_end(ServerProcess *process, guint patience_ms)
{
	if (!process->ended)
		wait_for_end(process, patience_ms);
	if (!process->ended)
		pidfd_send_signal(process->pidfd, SIGTERM, NULL, 0);
}

void server_process_wait(ServerProcess *process, guint patience_ms)
{
	ask_to_end(process, patience_ms);
	if (!process->ended)
		reap(process, 0);
}

void server_process_end(ServerProcess *process, guint patience_ms)
{
	ask_to_end(process, patience_ms);
	if (!process->ended)
		wait_for_end(process, KILL_AFTER_MS);
	if (!process->ended) {
		pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
		reap(process, 0);
	}
}

void server_process_free(ServerProcess *process)
{
	if (process->pid > 0 && !process->ended) {
		kill(process->pid, SIGKILL);
		reap(process, 0);
	}
	if (process->pidfd >= 0)
		close(process->pidfd);
	g_free(process);
}
