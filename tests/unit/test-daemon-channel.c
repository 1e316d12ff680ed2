/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The talk with a running server about shared memory: what it says is not believed unless it is the
 * one answer that is due, and it is never waited for in vain. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/channel.h"
#include "daemon/error.h"
#include "daemon/report.h"

typedef struct {
	GMainLoop *loop;
	guint calls;
	guint64 served;
	GError *error;
} Seen;

static void on_done(guint64 served, const GError *error, gpointer user_data)
{
	Seen *seen = user_data;

	seen->calls++;
	seen->served = served;
	g_clear_error(&seen->error);
	seen->error = error ? g_error_copy(error) : NULL;
	g_main_loop_quit(seen->loop);
}

typedef struct {
	Channel *channel;
	int server;
	Seen seen;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
	int ours;

	g_assert_true(report_open(&ours, &f->server, NULL));
	f->channel = channel_new(ours, getuid(), 0);
	f->seen.loop = g_main_loop_new(NULL, FALSE);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
	channel_free(f->channel);
	g_main_loop_unref(f->seen.loop);
	g_clear_error(&f->seen.error);
	if (f->server >= 0)
		close(f->server);
}

/* The server says this; NULL: nothing. */
static void take(Fixture *f, guint timeout_ms, const char *text)
{
	guint before = f->seen.calls;

	channel_take(f->channel, 3, timeout_ms, on_done, &f->seen);
	g_assert_cmpuint(f->seen.calls, ==, before);
	if (text)
		g_assert_cmpint(send(f->server, text, strlen(text), 0), ==, strlen(text));
	g_main_loop_run(f->seen.loop);
	g_assert_cmpuint(f->seen.calls, ==, before + 1);
}

static void gives_and_takes(Fixture *f, gconstpointer unused)
{
	static const char given[] = "DONE=1\nserial=1\nerrno=0\nserved=0\n";
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char text[256], control[64];
	struct iovec iov = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t len;

	channel_give(f->channel, 7, 1 << 20, TRUE, fd, 1000, on_done, &f->seen);
	len = recvmsg(f->server, &message, 0);
	g_assert_cmpint(len, >, 0);
	text[len] = '\0';
	g_assert_cmpstr(text, ==, "BUFFER=1\nserial=1\nindex=7\nsize=1048576\nread-only=1\n");
	g_assert_nonnull(CMSG_FIRSTHDR(&message));
	g_assert_cmpint(CMSG_FIRSTHDR(&message)->cmsg_type, ==, SCM_RIGHTS);
	g_assert_cmpint(send(f->server, given, strlen(given), 0), >, 0);
	g_main_loop_run(f->seen.loop);
	g_assert_no_error(f->seen.error);

	take(f, 1000, "DONE=1\nserial=2\nerrno=0\nserved=18446744073709551615\n");
	g_assert_no_error(f->seen.error);
	g_assert_cmpuint(f->seen.served, ==, G_MAXUINT64);
	/* a refusal is an answer: it may be asked again */
	take(f, 1000, "DONE=1\nserial=3\nerrno=16\nserved=0\n");
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE);
	take(f, 1000, "DONE=1\nserial=4\nerrno=0\nserved=1\n");
	g_assert_no_error(f->seen.error);
	close(fd);
}

static void believes_nothing_else(Fixture *f, gconstpointer text)
{
	take(f, 1000, text);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE);
	/* and asks no more */
	take(f, 1000, NULL);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE);
}

static void does_not_wait_in_vain(Fixture *f, gconstpointer unused)
{
	take(f, 1, NULL);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_TIMED_OUT);
	take(f, 60000, NULL);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE);
}

static void notices_the_end(Fixture *f, gconstpointer unused)
{
	channel_take(f->channel, 3, 60000, on_done, &f->seen);
	close(f->server);
	f->server = -1;
	g_main_loop_run(f->seen.loop);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE);
}

/* Who does not read gets no more than a socket holds. */
static void does_not_block(Fixture *f, gconstpointer unused)
{
	static const char answer[] = "DONE=1\nserial=1\nerrno=0\nserved=0\n";
	int size = 1;

	setsockopt(f->server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	take(f, 1000, answer);
	for (guint i = 0; i < 1000 && !f->seen.error; i++) {
		g_autofree char *text =
			g_strdup_printf("DONE=1\nserial=%u\nerrno=0\nserved=0\n", i + 2);

		take(f, 1000, i < 900 ? text : NULL);
	}
	g_assert_nonnull(f->seen.error);
}

/* Descriptors that nobody receives are counted, until somebody does or the other end is closed. */
static void bounds_what_is_not_read(Fixture *f, gconstpointer unused)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), servers[16], ours;
	char text[256];

	for (guint i = 0; i < G_N_ELEMENTS(servers); i++) {
		Channel *channel;

		g_assert_true(report_open(&ours, &servers[i], NULL));
		channel = channel_new(ours, getuid(), 0);
		channel_give(channel, 0, 4096, FALSE, fd, 1, on_done, &f->seen);
		g_main_loop_run(f->seen.loop);
		g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_TIMED_OUT);
		/* that is no reading either */
		if (i % 2)
			g_assert_cmpint(shutdown(servers[i], SHUT_RDWR), ==, 0);
		channel_free(channel);
	}
	channel_give(f->channel, 0, 4096, FALSE, fd, 1, on_done, &f->seen);
	g_main_loop_run(f->seen.loop);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED);

	g_assert_cmpint(recv(servers[0], text, sizeof(text), 0), >, 0);
	channel_give(f->channel, 0, 4096, FALSE, fd, 1, on_done, &f->seen);
	g_main_loop_run(f->seen.loop);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_TIMED_OUT);
	for (guint i = 0; i < G_N_ELEMENTS(servers); i++)
		close(servers[i]);
	g_assert_true(report_open(&ours, &servers[0], NULL));
	channel_free(f->channel);
	f->channel = channel_new(ours, getuid(), 0);
	channel_give(f->channel, 0, 4096, FALSE, fd, 1, on_done, &f->seen);
	g_main_loop_run(f->seen.loop);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_TIMED_OUT);
	close(servers[0]);
	close(fd);
}

/* An answer does not prove that the question was read. */
static void gives_no_more_than_is_read(Fixture *f, gconstpointer unused)
{
	static const char answer[] = "DONE=1\nserial=1\nerrno=0\nserved=0\n";
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char text[256];

	channel_give(f->channel, 0, 4096, FALSE, fd, 1000, on_done, &f->seen);
	g_assert_cmpint(send(f->server, answer, strlen(answer), 0), >, 0);
	g_main_loop_run(f->seen.loop);
	g_assert_no_error(f->seen.error);
	channel_give(f->channel, 1, 4096, FALSE, fd, 1000, on_done, &f->seen);
	g_main_loop_run(f->seen.loop);
	g_assert_error(f->seen.error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE);
	g_assert_cmpint(recv(f->server, text, sizeof(text), 0), >, 0);
	g_assert_cmpint(recv(f->server, text, sizeof(text), MSG_DONTWAIT), ==, -1);
	close(fd);
}

int main(int argc, char **argv)
{
	static const char *const wrong[] = {
		"nonsense",
		"DONE=1\nserial=2\nerrno=0\nserved=0\n",
		"DONE=1\nserial=1\nerrno=-1\nserved=0\n",
		"DONE=1\nserial=1\nerrno=5000\nserved=0\n",
		"DONE=1\nserial=1\nerrno=0\nserved=0\nmore=1\n",
		"DONE=1\nserial=1\nerrno=0\nserved=18446744073709551616\n",
		"DONE=1\nserial=1\nerrno=0\n",
	};

	g_test_init(&argc, &argv, NULL);
	g_test_add("/channel/gives-and-takes", Fixture, NULL, set_up, gives_and_takes, tear_down);
	for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autofree char *name = g_strdup_printf("/channel/believes-nothing-else/%u", i);

		g_test_add(name, Fixture, wrong[i], set_up, believes_nothing_else, tear_down);
	}
	g_test_add("/channel/does-not-wait-in-vain", Fixture, NULL, set_up, does_not_wait_in_vain,
		   tear_down);
	g_test_add("/channel/notices-the-end", Fixture, NULL, set_up, notices_the_end, tear_down);
	g_test_add("/channel/does-not-block", Fixture, NULL, set_up, does_not_block, tear_down);
	g_test_add("/channel/bounds-what-is-not-read", Fixture, NULL, set_up,
		   bounds_what_is_not_read, tear_down);
	g_test_add("/channel/gives-no-more-than-is-read", Fixture, NULL, set_up,
		   gives_no_more_than_is_read, tear_down);
	return g_test_run();
}
