/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control ring for those who can wait: one command at a time. See ublk-control.h.
 */
#include "ublk-control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

struct waiter {
	bool done;
	int res;
	void *buf;
	size_t len;
};

static void wake_waiter(int res, const void *buf, size_t len, void *user_data)
{
	struct waiter *waiter = user_data;

	waiter->res = res;
	waiter->done = true;
	if (res >= 0 && buf)
		memcpy(waiter->buf, buf, len);
}

int ublk_control_run(struct ublk_control *ctl, const struct ublk_control_cmd *cmd)
{
	struct waiter waiter = { .buf = cmd->buf };
	int ret;

	ret = ublk_control_submit(ctl, cmd, wake_waiter, &waiter, NULL);
	if (ret < 0)
		return ret;
	for (;;) {
		struct pollfd pfd = { .fd = ublk_control_get_fd(ctl), .events = POLLIN };

		ublk_control_dispatch(ctl);
		if (waiter.done)
			return waiter.res;
		/* Not for ever: dispatching also submits again what the kernel had no room for. */
		poll(&pfd, 1, 1000);
	}
}

int ublk_control_get_features(struct ublk_control *ctl, uint64_t *features)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_FEATURES,
		.dev_id = UBLK_DEV_ID_ANY,
		.buf = features,
		.len = UBLK_FEATURES_LEN,
	};

	return ublk_control_run(ctl, &cmd);
}

int ublk_control_get_dev_info(struct ublk_control *ctl, uint32_t dev_id,
			      struct ublksrv_ctrl_dev_info *info)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_DEV_INFO2,
		.dev_id = dev_id,
		.buf = info,
		.len = sizeof(*info),
	};

	return ublk_control_run(ctl, &cmd);
}

/*
 * Run a command whose form depends on the device's kind. Between the question and the command the
 * number may pass to another device; of the other kind, it refuses the command, and of the same
 * kind, it judges it by the caller's right to it. So asking is safe, if not more than a guess.
 */
static int run_for_kind(struct ublk_control *ctl, struct ublk_control_cmd *cmd)
{
	struct ublksrv_ctrl_dev_info info;
	int ret;

	ret = ublk_control_get_dev_info(ctl, cmd->dev_id, &info);
	if (ret < 0)
		return ret;
	cmd->privileged = !(info.flags & UBLK_F_UNPRIVILEGED_DEV);
	return ublk_control_run(ctl, cmd);
}

int ublk_control_add_dev(struct ublk_control *ctl, struct ublksrv_ctrl_dev_info *info)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_ADD_DEV,
		.dev_id = info->dev_id,
		.buf = info,
		.len = sizeof(*info),
	};

	return ublk_control_run(ctl, &cmd);
}

int ublk_control_set_params(struct ublk_control *ctl, uint32_t dev_id,
			    const struct ublk_params *params)
{
	struct ublk_params copy = *params;
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_SET_PARAMS,
		.dev_id = dev_id,
		.buf = &copy,
		.len = sizeof(copy),
	};

	return run_for_kind(ctl, &cmd);
}

int ublk_control_get_params(struct ublk_control *ctl, uint32_t dev_id, struct ublk_params *params)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_PARAMS,
		.dev_id = dev_id,
		.buf = params,
		.len = sizeof(*params),
	};

	/* The driver writes as much as it is told, or as it knows: the rest is 0, not what was
	 * there. */
	*params = (struct ublk_params){ .len = sizeof(*params) };
	return run_for_kind(ctl, &cmd);
}

int ublk_control_start_dev(struct ublk_control *ctl, uint32_t dev_id, int server_pid,
			   unsigned int timeout_ms)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_START_DEV,
		.dev_id = dev_id,
		.data = (uint64_t)server_pid,
		.timeout_ms = timeout_ms,
	};

	return ublk_control_run(ctl, &cmd);
}

int ublk_control_stop_dev(struct ublk_control *ctl, uint32_t dev_id)
{
	struct ublk_control_cmd cmd = { .op = UBLK_U_CMD_STOP_DEV, .dev_id = dev_id };

	return ublk_control_run(ctl, &cmd);
}

int ublk_control_del_dev(struct ublk_control *ctl, uint32_t dev_id, unsigned int timeout_ms)
{
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_DEL_DEV,
		.dev_id = dev_id,
		.timeout_ms = timeout_ms,
	};

	return ublk_control_run(ctl, &cmd);
}
