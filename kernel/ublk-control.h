/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control plane: commands to /dev/ublk-control.
 *
 * Every command is an io_uring command (IORING_OP_URING_CMD in a 128-byte SQE). The control ring
 * takes any number of them at once, never blocks its caller, and has one descriptor to poll: a GLib
 * main loop adds that as a source and calls ublk_control_dispatch() when it is readable. Commands
 * that wait (START_DEV for the server's fetches, DEL_DEV for the last user of /dev/ublkcN) wait in
 * a kernel worker, so each may be given a deadline.
 *
 * A command may carry a *personality*, credentials registered with the ring (see ublk-creds.h). The
 * kernel then judges the command as those credentials, not as this process.
 *
 * Functions return 0 or a positive value on success and a negative errno on failure. Nothing here
 * is safe to call from two threads at once on the same ring, and a command ends with the thread
 * that submitted it. A child of this process cannot use the ring.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ublk-abi.h"

struct ublk_control;
struct ublk_control_op;

#define UBLK_CONTROL_PATH "/dev/ublk-control"
/* "Any free number" for ADD_DEV. */
#define UBLK_DEV_ID_ANY UINT32_MAX
/* queue_id of every command that is not about a queue. */
#define UBLK_QUEUE_NONE UINT16_MAX
/* "No deadline". */
#define UBLK_NO_TIMEOUT 0U
/* How long a cancelled command may take to answer before its callback is called without it. */
#define UBLK_CANCEL_GRACE_MS 1000U

/*
 * One command. Fields that a command does not use stay 0; queue_id matters for GET_QUEUE_AFFINITY
 * alone and is ignored otherwise.
 */
struct ublk_control_cmd {
	uint32_t op;     /* UBLK_U_CMD_*, always the ioctl-encoded name */
	uint32_t dev_id; /* UBLK_DEV_ID_ANY for ADD_DEV with no wish; ignored by GET_FEATURES */
	uint16_t queue_id;
	uint64_t data; /* inline argument: pid of START_DEV, sectors of UPDATE_SIZE, … */
	/* The payload: copied at submission, and by ublk_control_run() back; stays the caller's. */
	void *buf;
	size_t len;               /* of buf, in bytes */
	unsigned int personality; /* 0: this process's own credentials */
	/*
	 * The device was added with CAP_SYS_ADMIN: its flags, as ADD_DEV or GET_DEV_INFO2 returned
	 * them, lack UBLK_F_UNPRIVILEGED_DEV. The driver reads the payload of such a device's
	 * commands where that of an unprivileged one's has the path, and nothing but the caller
	 * knows which kind the number is at this moment; a number's kind is not remembered here,
	 * since the number can be given to another device between two commands. A wrong guess is
	 * refused with -EINVAL, never misread. It matters for commands with a payload;
	 * GET_DEV_INFO2 is the same for both kinds.
	 */
	bool privileged;
	unsigned int timeout_ms; /* when to give up, with -ETIMEDOUT; or UBLK_NO_TIMEOUT */
};

/*
 * Called by ublk_control_dispatch() once for each submitted command. `res` is the kernel's result:
 * >= 0, or negative errno; -ETIMEDOUT when the deadline passed first, -ECANCELED after
 * ublk_control_cancel(). `buf`/`len` is the payload as the kernel left it (valid during the call
 * only, aligned for any type; NULL if the command had none): the submitter's own buf may be gone by
 * then, so it is never written to behind its back.
 *
 * The callback may submit and cancel other commands, wait with ublk_control_run(), and drop
 * personalities. It must not close the ring.
 *
 * -ETIMEDOUT and -ECANCELED say that nobody waits any longer, not that nothing happened. A command
 * that waits for the server or for the node's last user gives up at once and has done nothing more;
 * one that the kernel cannot interrupt (STOP_DEV while I/O is stuck) is left to itself after
 * UBLK_CANCEL_GRACE_MS, and may still take effect later. ADD_DEV and REG_BUF are never left: their
 * success makes something that somebody has to know of, so their callback always brings the truth.
 */
typedef void (*ublk_control_done)(int res, const void *buf, size_t len, void *user_data);

/*
 * Open `path` (NULL: UBLK_CONTROL_PATH) and make the ring. `max_blocked` is how many commands may
 * block in the kernel at once without holding up the others (each takes one io-wq worker).
 * -ENOENT: the driver is not loaded; -EACCES: no right to the node; -ENOSYS or -EPERM: io_uring is
 * forbidden to this process.
 */
int ublk_control_open(const char *path, unsigned int max_blocked, struct ublk_control **out);

/*
 * Cancels what is in flight, waits for it (bounded), calls no callbacks, and frees everything.
 * NULL is allowed.
 */
void ublk_control_close(struct ublk_control *ctl);

/* The descriptor to poll for POLLIN. It stays the ring's. */
int ublk_control_get_fd(const struct ublk_control *ctl);

/* The ring's own descriptor, for a child that registers credentials. It stays the ring's. */
int ublk_control_get_ring_fd(const struct ublk_control *ctl);

/*
 * Submit one command. On 0 the callback will be called exactly once, never from in here. `op_out`
 * (may be NULL) is a handle for ublk_control_cancel(), valid until the callback has been called.
 *
 * What the driver's age and the device's kind demand is done here: the path of /dev/ublkcN is put
 * in front of the payload (unprivileged devices are refused without it, GET_DEV_INFO2 always wants
 * it), GET_DEV_INFO2 falls back to GET_DEV_INFO and ioctl-encoded opcodes to the legacy numbers
 * where the kernel lacks them.
 *
 * Negative errno if nothing was submitted: -EINVAL for a command that is not one or a payload that
 * is too long, -EOPNOTSUPP for one that this kernel's driver does not have (whatever the device:
 * the driver's own answer differs by kind), -EAGAIN if the kernel takes no more for the moment,
 * -ENOMEM.
 */
int ublk_control_submit(struct ublk_control *ctl, const struct ublk_control_cmd *cmd,
			ublk_control_done done, void *user_data, struct ublk_control_op **op_out);

/* Ask the kernel to give it up; its callback still comes, with -ECANCELED or its result. */
void ublk_control_cancel(struct ublk_control *ctl, struct ublk_control_op *op);

/* Reap every completion there is and call the callbacks. Returns how many were called. */
int ublk_control_dispatch(struct ublk_control *ctl);

/*
 * Submit and wait: for small tools and tests, not for a main loop. Dispatches other commands'
 * callbacks while it waits. On success the payload is copied back into cmd->buf.
 */
int ublk_control_run(struct ublk_control *ctl, const struct ublk_control_cmd *cmd);

/* The UBLK_F_* that the driver knows, as asked when the ring was opened; 0 if it cannot tell
 * (< 6.5). */
uint64_t ublk_control_features(const struct ublk_control *ctl);

/*
 * Typed conveniences over ublk_control_run(), with this process's credentials. Those that carry a
 * payload ask the driver for the device's kind first.
 */
int ublk_control_get_features(struct ublk_control *ctl, uint64_t *features);
int ublk_control_get_dev_info(struct ublk_control *ctl, uint32_t dev_id,
			      struct ublksrv_ctrl_dev_info *info);
int ublk_control_add_dev(struct ublk_control *ctl, struct ublksrv_ctrl_dev_info *info);
int ublk_control_set_params(struct ublk_control *ctl, uint32_t dev_id,
			    const struct ublk_params *params);
int ublk_control_get_params(struct ublk_control *ctl, uint32_t dev_id, struct ublk_params *params);
int ublk_control_start_dev(struct ublk_control *ctl, uint32_t dev_id, int server_pid,
			   unsigned int timeout_ms);
int ublk_control_stop_dev(struct ublk_control *ctl, uint32_t dev_id);
int ublk_control_del_dev(struct ublk_control *ctl, uint32_t dev_id, unsigned int timeout_ms);
