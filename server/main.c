/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ublk-server: the data plane of one device. This file is the life of the process: confine itself,
 * open the target and the device, start the queues, say READY, wait for the end.
 *
 * The end comes in one of these ways:
 * - The device is stopped or deleted. The driver has waited for its requests, then aborts the
 * fetches; the threads leave.
 * - SIGTERM, SIGINT or SIGHUP. The server has no access to the control device, so it cannot stop
 * its device: the driver does that when the server is gone, and fails what is in flight then. So
 * the server finishes and commits what it has begun, begins nothing new, makes all of it durable,
 * and only then goes. A second signal cuts short what is in flight, but not the
 * synchronization.
 * - A queue fails. Its readers would wait for ever, so the whole process goes, with an error.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "char-device.h"
#include "config.h"
#include "device-size.h"
#include "error.h"
#include "options.h"
#include "queue-thread.h"
#include "report.h"
#include "sandbox/confine.h"
#include "shared-memory.h"
#include "target.h"

/* Documented in docs/server.md. */
enum {
	STATUS_STOPPED = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
};

struct server {
	char path[PATH_MAX]; /* of the backing file, if it came over the report socket */
	struct options options;
	const struct target_ops *ops;
	void *target;
	int char_fd;
	int signal_fd;
	struct queue_threads *threads;
	int memory_fd; /* the report socket, where shared memory comes, or -1 */
};

static void tell_error(const struct server *server, const struct server_error *error)
{
	char text[REPORT_MAX];
	size_t len;

	server_log("%s", error->text);
	len = report_format_error(error, text);
	report_send(server->options.report_fd, text, len);
	/* What systemd is told everybody can read, and a path tells about its owner. */
	report_notify("ERRNO=%d\nSTATUS=%s", error->err,
		      server->options.report_fd < 0 ? error->text : "Cannot start");
}

static void tell_ready(const struct server *server, const struct ublk_limits *limits)
{
	const struct options *options = &server->options;
	char text[REPORT_MAX];
	size_t len;
	int ret;

	len = report_format_ready(limits, text);
	if (server->memory_fd >= 0)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "shared-memory=1\n");
	ret = report_send(options->report_fd, text, len);
	/* Nobody to start the device: whoever made it will also delete it, and that ends us. */
	if (ret < 0)
		server_log("cannot report READY on descriptor %d: %s", options->report_fd,
			   strerror(-ret));
	report_notify("READY=1\nSTATUS=Serving device %u: %s, %u queues of %u", options->dev_id,
		      server->ops->name, options->queues, options->depth);
}

/* Signals come through a descriptor; the threads inherit that they are blocked. */
static int block_signals(struct server *server, struct server_error *error)
{
	sigset_t set;

	/* The reader of the report or of the log may go away at any time. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server->signal_fd < 0)
		return server_error_set(error, errno, "cannot make a signalfd: %s",
					strerror(errno));
	return 0;
}

static int find_target(struct server *server, struct server_error *error)
{
	const struct options *options = &server->options;
	bool file_given = options->file || options->file_fd >= 0 || options->receive_file;

	server->ops = target_find(options->target);
	if (!server->ops)
		return server_error_set(error, EINVAL,
					"there is no target %s: null and loop are known",
					options->target);
	if (file_given && !server->ops->takes_file)
		return server_error_set(error, EINVAL, "target %s has no backing file",
					server->ops->name);
	if (!file_given && server->ops->takes_file)
		return server_error_set(error, EINVAL,
					"target %s needs its backing file: --file, --file-fd or "
					"--receive-file",
					server->ops->name);
	return 0;
}

static int start(struct server *server, struct server_error *error)
{
	struct options *options = &server->options;
	struct ublk_limits limits = { 0 };
	int file = -1, readable;
	bool confined;
	int ret;

	ret = block_signals(server, error);
	if (ret == 0)
		ret = find_target(server, error);
	if (ret < 0)
		return ret;
	if (options->receive_file) {
		ret = report_receive_file(options->report_fd, &file, server->path, error);
		if (ret < 0)
			return ret;
		if (file < 0)
			options->file = server->path;
	}
	ret = server->ops->open(options, file, &limits, &server->target, error);
	if (ret < 0)
		return ret;
	server->char_fd = char_device_open(options, error);
	if (server->char_fd < 0)
		return server->char_fd;
	/*
	 * When memory is short the kernel may write pages to our device and wait for us: we must
	 * not wait for it in turn. Needs CAP_SYS_RESOURCE; without it we are no worse than others.
	 */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	report_notify_open();
	readable = device_size_get_directory();
	/* Where /proc cannot be read any more, nobody could say what forbids io_uring. */
	ublk_uring_get_facts(&options->uring);
	ret = confine_paths(readable, DEVICE_SIZE_DIRECTORY, &confined, error);
	if (ret < 0)
		return ret;
	ret = queue_threads_start(options, server->ops, server->target, server->char_fd,
				  &server->threads, error);
	if (ret < 0)
		return ret;
	if (options->flags & UBLK_F_SHMEM_ZC && shared_memory_can_listen(options->report_fd))
		server->memory_fd = options->report_fd;
	ret = confine_calls(confined ? readable : -1, error);
	if (ret < 0)
		return ret;
	tell_ready(server, &limits);
	return 0;
}

/* The backing's caches hold what was never flushed by a reader; a clean end leaves nothing there.
 */
static int sync_target(const struct server *server, struct server_error *error)
{
	int ret = server->ops->sync ? server->ops->sync(server->target) : 0;

	if (ret < 0)
		return server_error_set(error, ret,
					"the backing could not be synchronized at the end: %s",
					strerror(-ret));
	return 0;
}

/* Returns the number of a signal that has come, or 0. */
static unsigned int take_signal(const struct server *server)
{
	struct signalfd_siginfo info;

	return read(server->signal_fd, &info, sizeof(info)) == sizeof(info) ? info.ssi_signo : 0;
}

/* Until the end comes; 0 if it was a good one. */
static int serve(struct server *server, struct server_error *error)
{
	struct pollfd fds[] = {
		{ .fd = server->signal_fd, .events = POLLIN },
		{ .fd = queue_threads_get_fd(server->threads), .events = POLLIN },
		{ .fd = server->memory_fd, .events = POLLIN },
	};
	enum queue_threads_state state;
	bool draining = false;
	unsigned int signo;
	int ret;

	for (;;) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return server_error_set(error, errno, "poll failed: %s", strerror(errno));
		/* Without the other end (ublkd was restarted) what is shared stays so. */
		if (fds[2].revents && shared_memory_handle_message(fds[2].fd) < 0)
			fds[2].fd = -1;
		signo = take_signal(server);
		if (signo && draining)
			return server_error_set(error, ECANCELED,
						"told to stop twice: requests in flight are lost");
		if (signo) {
			draining = true;
			server_log("%s: finishing what is in flight", strsignal((int)signo));
			report_notify("STOPPING=1");
			queue_threads_drain(server->threads);
		}
		state = queue_threads_get_state(server->threads, error);
		if (state == QUEUE_THREADS_FAILED)
			return -error->err;
		if (draining && state != QUEUE_THREADS_RUNNING)
			return sync_target(server, error);
		if (state == QUEUE_THREADS_LEFT)
			break;
	}

	/* Who stopped the device waits for /dev/ublkcN to be closed: before the long part. */
	queue_threads_free(server->threads);
	close(server->char_fd);
	report_notify("STOPPING=1");
	ret = sync_target(server, error);
	server->ops->close(server->target);
	return ret;
}

int main(int argc, char **argv)
{
	/* Not freed on the way out: after a signal the threads are still at their queues. */
	static struct server server = { .char_fd = -1, .signal_fd = -1, .memory_fd = -1 };
	struct server_error error = { 0 };

	server.options.report_fd = -1;
	if (confine_process(&error) < 0) {
		tell_error(&server, &error);
		return STATUS_FAILED;
	}
	if (options_parse(argc, argv, &server.options, &error) < 0) {
		tell_error(&server, &error);
		return STATUS_USAGE;
	}
	if (server.options.action == OPTIONS_HELP) {
		options_print_help(stdout);
		return STATUS_STOPPED;
	}
	if (server.options.action == OPTIONS_VERSION) {
		puts("ublk-server " UBLKD_VERSION);
		return STATUS_STOPPED;
	}
	if (start(&server, &error) < 0) {
		tell_error(&server, &error);
		return STATUS_FAILED;
	}
	if (serve(&server, &error) < 0) {
		/* READY was said: the report descriptor has had its one message. */
		server_log("%s", error.text);
		report_notify("ERRNO=%d\nSTATUS=%s", error.err, error.text);
		return STATUS_FAILED;
	}
	return STATUS_STOPPED;
}
