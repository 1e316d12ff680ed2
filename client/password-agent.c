/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "password-agent.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The descriptor's number in the agent, which closes it when it is registered. */
#define NOTIFY_FD   3
#define PATIENCE_MS 5000

struct password_agent {
	GPid pid;
	int pidfd;
};

gboolean password_agent_is_wanted(void)
{
	return isatty(STDIN_FILENO) && geteuid() != 0;
}

/* It must not outlive us, and ask somebody who has gone on to something else. */
static void prepare_child(gpointer data)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != GPOINTER_TO_INT(data))
		_exit(127);
}

static gboolean wait_for(int fd)
{
	struct pollfd event = { .fd = fd, .events = POLLIN };

	return poll(&event, 1, PATIENCE_MS) > 0;
}

PasswordAgent *password_agent_start(void)
{
	const char *argv[] = { "pkttyagent", "--notify-fd", G_STRINGIFY(NOTIFY_FD), "--fallback",
			       NULL };
	const int target = NOTIFY_FD;
	g_autofree PasswordAgent *agent = g_new0(PasswordAgent, 1);
	gboolean spawned;
	int notify[2];

	if (pipe2(notify, O_CLOEXEC) < 0)
		return NULL;
	/* Without --process it is for its parent: for us. */
	spawned = g_spawn_async_with_pipes_and_fds(
		NULL, argv, NULL,
		G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN |
			G_SPAWN_STDOUT_TO_DEV_NULL, /* ours has the results */
		prepare_child, GINT_TO_POINTER(getpid()), -1, -1, -1, &notify[1], &target, 1,
		&agent->pid, NULL, NULL, NULL, NULL);
	close(notify[1]);
	if (spawned)
		wait_for(notify[0]);
	close(notify[0]);
	if (!spawned)
		return NULL;
	/* Ours and not waited for yet: the number cannot be somebody else's. */
	agent->pidfd = pidfd_open(agent->pid, 0);
	return g_steal_pointer(&agent);
}

void password_agent_end(PasswordAgent *agent)
{
	if (agent->pidfd >= 0) {
		/* It gives the terminal back as it was. */
		pidfd_send_signal(agent->pidfd, SIGTERM, NULL, 0);
		if (!wait_for(agent->pidfd))
			pidfd_send_signal(agent->pidfd, SIGKILL, NULL, 0);
		waitpid(agent->pid, NULL, 0);
		close(agent->pidfd);
	}
	g_free(agent);
}
