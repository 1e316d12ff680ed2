/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a target is: where a device's data comes from and goes to. One table of callbacks each, in
 * targets/; docs/server.md tells how to write one.
 *
 * open() and close() run in the main thread. Everything else runs in the thread of the queue that
 * the request came from, several of them at once: what queues share must be safe for that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <liburing.h>

#include "error.h"
#include "kernel/ublk-abi.h"
#include "kernel/ublk-params.h"
#include "options.h"
#include "shared-memory.h"

/* How many SQEs one call of queue_io() or handle_cqe() may take. */
#define TARGET_MAX_SQES 2

struct queue_thread;

/* One request; there is one of these for each tag, used again and again. */
struct target_request {
	struct queue_thread *queue;
	void *target;     /* what open() returned */
	void *queue_data; /* what init_queue() returned, or NULL */
	uint16_t tag;
	uint8_t op;       /* UBLK_IO_OP_* */
	uint32_t flags;   /* UBLK_IO_F_*, as ublk_desc_flags() gives them */
	uint64_t offset;  /* bytes */
	uint32_t sectors; /* of 512 bytes: a discard may be longer than 4 GiB */
	/*
	 * Of reads and writes: page-aligned, has room for the request. It is the tag's own, with
	 * room for max_io_size; with UBLK_IO_F_SHMEM_ZC in `flags` it is memory of the device's
	 * user, who may see and change it at any time.
	 */
	void *buffer;
	struct shared_memory_use shared; /* of queue-thread.c */
	/* The target's own while it has the request; 0 when queue_io() is called. */
	uint64_t done;
	uint16_t step;
	uint16_t retries;
	/*
	 * Set by the target: what this changes is done, and only waited for to be durable. Should it
	 * take too long, it is no reason to refuse other changes (deadline.h).
	 */
	bool changed;
};

static inline uint64_t target_request_length(const struct target_request *req)
{
	return (uint64_t)req->sectors << 9;
}

struct target_ops {
	const char *name;
	bool takes_file; /* options.file and its kin: refused where a target has no use for them */
	/*
	 * Find the data and fill `limits` (they are zeroed). `file` is the descriptor that
	 * --receive-file brought, or -1; it becomes the target's. Returns 0 and the target's state
	 * in *target, or negative errno with the reason in *error.
	 */
	int (*open)(const struct options *options, int file, struct ublk_limits *limits,
		    void **target, struct server_error *error);
	void (*close)(void *target);
	/* Make everything that was ever acknowledged durable; before a clean exit. May be NULL. */
	int (*sync)(void *target);
	/* What a queue needs for itself (registered with its ring, for example). May be NULL. */
	int (*init_queue)(void *target, struct io_uring *ring, void **queue_data);
	void (*exit_queue)(void *target, void *queue_data);
	/*
	 * Begin a request: complete it at once with target_request_complete(), or take SQEs with
	 * target_request_get_sqe() and do so later. Each request is completed exactly once.
	 */
	void (*queue_io)(struct target_request *req);
	/* An SQE of this request has completed with `res`. NULL if queue_io() takes none. */
	void (*handle_cqe)(struct target_request *req, int res);
};

/* The table of all targets, ended by NULL, and one of them by its name (or NULL). */
extern const struct target_ops *const targets[];
const struct target_ops *target_find(const char *name);

extern const struct target_ops target_null;
extern const struct target_ops target_loop;

/*
 * An SQE for this request, never NULL as long as no call takes more than TARGET_MAX_SQES. Prepare
 * it, then give it to target_request_submit(): its completion comes back as handle_cqe(). It
 * reaches the kernel with all the others of this round.
 */
struct io_uring_sqe *target_request_get_sqe(struct target_request *req);

static inline void target_request_submit(struct target_request *req, struct io_uring_sqe *sqe)
{
	sqe->user_data = req->tag;
}

/*
 * Has the request been given up (deadline.h)? Then nobody waits for it: complete it as soon as the
 * backing has answered, and begin no more of it.
 */
bool target_request_is_late(const struct target_request *req);

/*
 * The request is done. `result` is 0, or negative errno; success always means all of it: a target
 * continues what was short.
 */
void target_request_complete(struct target_request *req, int result);
