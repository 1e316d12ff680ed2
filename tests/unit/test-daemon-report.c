/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server's report is somebody else's word: bounded, checked, and never waited for in vain. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/error.h"
#include "daemon/report.h"

typedef struct {
	GMainLoop *loop;
	guint calls;
	gboolean ready;
	struct ublk_limits limits;
	pid_t pid;
	int channel;
	GError *error;
} Seen;

static void on_report(const struct ublk_limits *limits, pid_t pid, int channel, const GError *error,
		      gpointer user_data)
{
	Seen *seen = user_data;

	seen->calls++;
	seen->ready = limits != NULL;
	if (limits)
		seen->limits = *limits;
	seen->pid = pid;
	seen->channel = channel;
	seen->error = error ? g_error_copy(error) : NULL;
	g_main_loop_quit(seen->loop);
}

/* What comes of `len` bytes from a server of user `uid`; len 0: it says nothing and ends. */
static void run(Seen *seen, const char *text, gsize len, uid_t uid)
{
	g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
	int ours, theirs;

	memset(seen, 0, sizeof(*seen));
	seen->loop = loop;
	g_assert_true(report_open(&ours, &theirs, NULL));
	if (len)
		g_assert_cmpint(send(theirs, text, len, 0), ==, len);
	else
		close(theirs);
	report_wait(ours, uid, 5000, NULL, on_report, seen);
	g_main_loop_run(loop);
	g_assert_cmpuint(seen->calls, ==, 1);
	if (len)
		close(theirs);
}

static void tells_what_the_device_is(void)
{
	static const char text[] = "READY=1\nsize=4096\nread-only=1\n";
	Seen seen;

	run(&seen, text, strlen(text), getuid());
	g_assert_no_error(seen.error);
	g_assert_true(seen.ready);
	g_assert_cmpuint(seen.limits.size, ==, 4096);
	g_assert_true(seen.limits.read_only);
	g_assert_cmpint(seen.pid, ==, getpid());
}

static void passes_on_why_it_failed(void)
{
	static const char busy[] = "ERRNO=16\nERROR=/x is in use\n";
	static const char text[] = "ERRNO=2\nERROR=cannot open /x: No such file or directory\n";
	Seen seen;

	run(&seen, text, strlen(text), getuid());
	g_assert_false(seen.ready);
	g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
	g_assert_nonnull(strstr(seen.error->message, "cannot open /x: No such file"));
	g_clear_error(&seen.error);
	run(&seen, busy, strlen(busy), getuid());
	g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_BUSY);
	g_clear_error(&seen.error);
}

static void notices_its_end(void)
{
	Seen seen;

	run(&seen, NULL, 0, getuid());
	g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE);
	g_clear_error(&seen.error);
}

static void refuses_somebody_else(void)
{
	static const char text[] = "READY=1\nsize=4096\n";
	Seen seen;

	run(&seen, text, strlen(text), getuid() + 1);
	g_assert_false(seen.ready);
	g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED);
	g_clear_error(&seen.error);
}

static void refuses_nonsense(void)
{
	char large[5000];
	static const struct {
		const char *text;
		gsize len;
	} all[] = {
		{ "READY=1\nsize=-1\n", 16 },
		{ "READY=1\nsize=1\0size=2", 21 },
		{ "\377\376", 2 },
		{ "READY=2\n", 8 },
		{ "\n", 1 },
		{ "size=4096\n", 10 },
	};
	Seen seen;

	for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
		run(&seen, all[i].text, all[i].len, getuid());
		g_assert_false(seen.ready);
		g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
		g_clear_error(&seen.error);
	}
	memset(large, '\n', sizeof(large));
	memcpy(large, "READY=1\n", 8);
	run(&seen, large, sizeof(large), getuid());
	g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
	g_clear_error(&seen.error);
}

static gboolean cancel(gpointer cancellable)
{
	g_cancellable_cancel(cancellable);
	return G_SOURCE_REMOVE;
}

static void gives_up(void)
{
	g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
	g_autoptr(GCancellable) cancellable = g_cancellable_new();
	Seen seen = { .loop = loop };
	int ours, theirs;

	g_assert_true(report_open(&ours, &theirs, NULL));
	report_wait(ours, getuid(), 1, NULL, on_report, &seen);
	g_main_loop_run(loop);
	g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_TIMED_OUT);
	g_clear_error(&seen.error);
	close(theirs);

	g_assert_true(report_open(&ours, &theirs, NULL));
	report_wait(ours, getuid(), 60000, cancellable, on_report, &seen);
	g_idle_add(cancel, cancellable);
	g_main_loop_run(loop);
	g_assert_error(seen.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
	g_clear_error(&seen.error);
	close(theirs);
}

/* Who takes shared memory keeps the socket, and nobody else does. */
static void hands_on_the_socket(void)
{
	static const char takes[] = "READY=1\nsize=4096\nshared-memory=1\n";
	static const char takes_not[] = "READY=1\nsize=4096\n";
	static const char fails[] = "ERRNO=5\nshared-memory=1\n";
	static const char nonsense[] = "READY=1\nsize=4096\nshared-memory=2\n";
	Seen seen;

	run(&seen, takes, strlen(takes), getuid());
	g_assert_no_error(seen.error);
	g_assert_cmpint(seen.channel, >=, 0);
	g_assert_cmpuint(seen.limits.size, ==, 4096);
	g_assert_cmpint(send(seen.channel, "x", 1, MSG_NOSIGNAL), ==,
			-1); /* the other end is closed */
	g_assert_cmpint(errno, ==, EPIPE);
	close(seen.channel);
	run(&seen, takes_not, strlen(takes_not), getuid());
	g_assert_cmpint(seen.channel, ==, -1);
	run(&seen, fails, strlen(fails), getuid());
	g_assert_cmpint(seen.channel, ==, -1);
	g_clear_error(&seen.error);
	run(&seen, nonsense, strlen(nonsense), getuid());
	g_assert_error(seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_ARGUMENT);
	g_assert_cmpint(seen.channel, ==, -1);
	g_clear_error(&seen.error);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/report/tells-what-the-device-is", tells_what_the_device_is);
	g_test_add_func("/report/passes-on-why-it-failed", passes_on_why_it_failed);
	g_test_add_func("/report/notices-its-end", notices_its_end);
	g_test_add_func("/report/refuses-somebody-else", refuses_somebody_else);
	g_test_add_func("/report/refuses-nonsense", refuses_nonsense);
	g_test_add_func("/report/gives-up", gives_up);
	g_test_add_func("/report/hands-on-the-socket", hands_on_the_socket);
	return g_test_run();
}
