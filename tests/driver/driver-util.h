/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the driver tests share. Such a test is a program that runs as root in a microVM with the
 * real driver: it exits 0 when it passed, 77 when it cannot run on this kernel (its last line says
 * why), and anything else when it failed. It leaves neither devices nor processes behind when it
 * passes.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "ublk-control.h"

/* The users that the microVM knows. */
#define ALICE_UID 1000
#define ALICE_GID 1000
#define BOB_UID   1001
#define BOB_GID   1001

/* End the test where it is: the place, and what was found there. */
#define FAIL(...)                                               \
	do {                                                    \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__);                   \
		fputc('\n', stderr);                            \
		exit(1);                                        \
	} while (0)

#define SKIP(...)                    \
	do {                         \
		printf(__VA_ARGS__); \
		putchar('\n');       \
		exit(77);            \
	} while (0)

#define CHECK(condition)                                                                       \
	do {                                                                                   \
		if (!(condition))                                                              \
			FAIL("not so: %s (errno %d: %s)", #condition, errno, strerror(errno)); \
	} while (0)

/* Compare integers; says both. */
#define CHECK_EQ(actual, expected)                                                                 \
	do {                                                                                       \
		long long actual_ = (long long)(actual), expected_ = (long long)(expected);        \
		if (actual_ != expected_)                                                          \
			FAIL("%s is %lld, not %s (%lld)", #actual, actual_, #expected, expected_); \
	} while (0)

/* A call that returns a negative errno on failure. */
#define CHECK_OK(call)                                          \
	({                                                      \
		int ret_ = (call);                              \
		if (ret_ < 0)                                   \
			FAIL("%s: %s", #call, strerror(-ret_)); \
		ret_;                                           \
	})

/* One line of the test's story. */
#define STEP(...)                    \
	do {                         \
		printf(__VA_ARGS__); \
		putchar('\n');       \
		fflush(stdout);      \
	} while (0)

/* Milliseconds of the monotonic clock. */
long long util_now_ms(void);

/* The control ring, or SKIP where there is no driver. */
struct ublk_control *util_open_control(void);

/* What ADD_DEV is asked: `flags` as they are, any number, and a buffer of 64 KiB. */
struct ublksrv_ctrl_dev_info util_dev_info(uint16_t queues, uint16_t depth, uint64_t flags);

/* Parameters of a device of `size` bytes with blocks of 512 bytes. */
struct ublk_params util_params(uint64_t size);

/*
 * Add a device and set its parameters, with this process's credentials: privileged if it has
 * CAP_SYS_ADMIN, else unprivileged (give UBLK_F_UNPRIVILEGED_DEV then).
 */
struct ublksrv_ctrl_dev_info util_add_dev(struct ublk_control *ctl, uint16_t queues, uint16_t depth,
					  uint64_t flags, uint64_t size);

/* STOP_DEV and DEL_DEV, both with success. */
void util_del_dev(struct ublk_control *ctl, uint32_t dev_id);

/* Run a command with a personality (0: our own credentials), in the unprivileged form. */
int util_run_as(struct ublk_control *ctl, int personality, uint32_t op, uint32_t dev_id,
		uint64_t data, void *buf, size_t len);

/*
 * Add an unprivileged device as the user uid:gid whose personality is given, make its node the
 * user's, and set its parameters as the user.
 */
struct ublksrv_ctrl_dev_info util_add_dev_as(struct ublk_control *ctl, int personality, uid_t uid,
					     gid_t gid, uint16_t queues, uint16_t depth,
					     uint64_t flags, uint64_t size);

/* Make both nodes the user's, as udev does: the microVM has none. A node that is absent is left. */
void util_chown_nodes(uint32_t dev_id, uid_t uid, gid_t gid);

/* Give up every right but those of that user, for good. For children. */
void util_become(uid_t uid, gid_t gid);

/* Run `body` in a child; its exit status is _exit(body(arg)). */
pid_t util_fork(int (*body)(void *arg), void *arg);

/* Wait for a child; returns its exit status, or 128 + the signal that killed it. */
int util_wait(pid_t pid);

/* Until the device has a request that was not answered yet. */
void util_wait_for_request(uint32_t dev_id);

/*
 * A child that serves the device in the simplest way (every request succeeds, reads give what is in
 * the buffer: zeroes), as user uid:gid (0:0: as this process). It has fetched when this returns.
 * From SIGUSR1 on it holds the requests that it gets, until SIGUSR2.
 */
pid_t util_serve_null(const struct ublksrv_ctrl_dev_info *info, uid_t uid, gid_t gid);
