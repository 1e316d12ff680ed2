/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every test of ublk-server needs: a device, a server for it, and what the two say to each
 * other. The test plays the broker: it adds the device, reads the server's report, sets the
 * parameters, starts and deletes. Whatever fails ends the test with a line that says where.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver-util.h"
#include "kernel/ublk-params.h"

#define SERVER_MAX_ARGS 16

struct device {
	struct ublksrv_ctrl_dev_info info;
	uid_t uid; /* whose it is; 0: a privileged device */
	int personality;
	pid_t server;              /* 0: none */
	int report;                /* our end of the report socket, or -1 */
	char text[4097];           /* the server's report */
	struct ublk_limits limits; /* as reported */
	char block[32];            /* /dev/ublkbN */
	char chr[32];              /* /dev/ublkcN */
};

/* What is wished for; 0 is the usual. */
struct device_wish {
	uint16_t queues, depth;
	uint32_t max_io_size;
	uint64_t flags;
	uid_t uid; /* an unprivileged device of this user (and the group of the same number) */
};

void device_add(struct device *device, struct device_wish wish);

/*
 * Start ublk-server with the device's own options and these, up to NULL. It runs as the device's
 * owner. With `inherit` (else -1) that descriptor stays open in it, under the same number.
 */
void server_run(struct device *device, int inherit, const char *const *args);
#define SERVER_RUN(device, ...) server_run(device, -1, (const char *const[]){ __VA_ARGS__, NULL })

/* The server's own options, for a test that starts it in its own way: up to NULL. */
void server_options(const struct device *device, const char *argv[SERVER_MAX_ARGS * 2]);

/* Read the report: true if it was READY (then device->limits is set), false if it was an error. */
bool server_read_report(struct device *device);
/* SET_PARAMS from the limits, and START_DEV. Negative errno is returned, not failed on. */
int device_start(struct device *device);
/* All of it: server, READY, parameters, start. */
#define DEVICE_SERVE(device, ...)                  \
	do {                                       \
		SERVER_RUN(device, __VA_ARGS__);   \
		CHECK(server_read_report(device)); \
		CHECK(device_start(device) == 0);  \
	} while (0)

/* Wait for the server (some seconds); returns its exit status, or 128 + the signal it died of. */
int server_wait(struct device *device);
void server_signal(const struct device *device, int signo);
/* STOP_DEV, as its owner. */
void device_stop(struct device *device);
/* DEL_DEV; kills a server that is still there first. */
void device_delete(struct device *device);
/* DEL_DEV while the server lives, which must then end with status 0. */
void device_delete_served(struct device *device);

/* Open the block device; waits for the node. */
int block_open(const struct device *device, int flags);

/*
 * A disk for backings: /dev/loop0 over a new sparse file, and the end of it. A dead server's
 * io_uring may hold the disk a moment longer than its process lives.
 */
void disk_attach(const char *file, off_t size);
void disk_detach(const char *file);
/* Another, of 8 MiB of memory, with faults: null_blk's attributes, ended by { 0 }. Returns its
 * path. */
struct null_disk_attribute {
	const char *name, *value;
};
const char *null_disk_create(const struct null_disk_attribute *attributes);
void null_disk_remove(void);
/* busybox's mount, mke2fs and so on; what fails ends the test. */
__attribute__((format(printf, 1, 2))) void shell(const char *format, ...);
/* A sparse file that everybody may use. */
const char *make_file(const char *path, off_t size);

/* Fill a buffer with what belongs at `offset` in generation `seed`, and check it. */
void fill_pattern(void *buffer, size_t len, uint64_t offset, uint32_t seed);
bool check_pattern(const void *buffer, size_t len, uint64_t offset, uint32_t seed);
bool is_zero(const void *buffer, size_t len);
/* Page-aligned, for direct I/O. */
void *alloc_buffer(size_t len);

/* Write and read all of it, or fail. */
void write_all(int fd, const void *buffer, size_t len, off_t offset);
void read_all(int fd, void *buffer, size_t len, off_t offset);
