/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A control command as it crosses the line. See ublk-message.h.
 */
#include "ublk-message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ublk-node.h"
#include "uring-compat.h"

/* In front of a payload: holds a path, and keeps malloc()'s alignment. */
#define PATH_ROOM 32

/* The kernel's ENOTSUPP, which has no name outside: Linux 6.3's answer to an unknown command. */
#define KERNEL_ENOTSUPP 524

_Static_assert(PATH_ROOM >= UBLK_NODE_PATH_MAX, "no room for the path");
_Static_assert(PATH_ROOM % _Alignof(max_align_t) == 0, "the payload would not be aligned");
_Static_assert(sizeof(struct ublksrv_ctrl_cmd) <= 80, "a command's data must fit its entry");

static const struct ublk_command commands[] = {
	{ UBLK_U_CMD_GET_QUEUE_AFFINITY, 0, 0 },
	{ UBLK_U_CMD_GET_DEV_INFO, 0, 0 },
	{ UBLK_U_CMD_ADD_DEV, UBLK_COMMAND_NO_PATH | UBLK_COMMAND_CREATES, 0 },
	{ UBLK_U_CMD_DEL_DEV, 0, 0 },
	{ UBLK_U_CMD_START_DEV, UBLK_COMMAND_RESTARTS, 0 },
	{ UBLK_U_CMD_STOP_DEV, 0, 0 },
	{ UBLK_U_CMD_SET_PARAMS, 0, 0 },
	{ UBLK_U_CMD_GET_PARAMS, 0, 0 },
	{ UBLK_U_CMD_START_USER_RECOVERY, 0, 0 },
	{ UBLK_U_CMD_END_USER_RECOVERY, UBLK_COMMAND_RESTARTS, 0 },
	{ UBLK_U_CMD_GET_DEV_INFO2, UBLK_COMMAND_ALWAYS_PATH, 0 },
	{ UBLK_U_CMD_GET_FEATURES, UBLK_COMMAND_NO_PATH, 0 },
	{ UBLK_U_CMD_DEL_DEV_ASYNC, 0, 0 },
	{ UBLK_U_CMD_UPDATE_SIZE, 0, UBLK_F_UPDATE_SIZE },
	{ UBLK_U_CMD_QUIESCE_DEV, 0, UBLK_F_QUIESCE },
	{ UBLK_U_CMD_TRY_STOP_DEV, 0, UBLK_F_SAFE_STOP_DEV },
	{ UBLK_U_CMD_REG_BUF, UBLK_COMMAND_CREATES, UBLK_F_SHMEM_ZC },
	{ UBLK_U_CMD_UNREG_BUF, 0, UBLK_F_SHMEM_ZC },
};

const struct ublk_command *ublk_command_find(uint32_t op)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].op == op)
			return &commands[i];
	return NULL;
}

bool ublk_command_is_known(const struct ublk_command *command, bool legacy, uint64_t features)
{
	/* What came after GET_DEV_INFO2 never had a bare number. */
	if (legacy && _IOC_NR(command->op) > UBLK_CMD_GET_DEV_INFO2)
		return false;
	return !command->feature || !features || features & command->feature;
}

int ublk_message_init(struct ublk_message *message, const struct ublk_control_cmd *cmd)
{
	const struct ublk_command *command = ublk_command_find(cmd->op);
	char path[UBLK_NODE_PATH_MAX];
	struct ublk_message m = {
		.command = command,
		.cmd = *cmd,
		.len = cmd->buf ? cmd->len : 0,
	};

	if (!command)
		return -EINVAL;
	m.cmd.buf = NULL;
	/* A privileged device's command has no path: it would be taken for the payload. */
	if (command->traits & UBLK_COMMAND_ALWAYS_PATH ||
	    !(command->traits & UBLK_COMMAND_NO_PATH || cmd->privileged))
		m.path_len = strlen(ublk_node_path(UBLK_NODE_CHAR, cmd->dev_id, path)) + 1;
	/* The header has 16 bits for the length of both. */
	if (m.len > UINT16_MAX - m.path_len)
		return -EINVAL;

	m.memory = calloc(1, PATH_ROOM + m.len);
	if (!m.memory)
		return -ENOMEM;
	if (m.path_len > 0) {
		m.path = m.memory + PATH_ROOM - m.path_len;
		memcpy(m.path, path, m.path_len);
	}
	if (m.len > 0) {
		m.payload = m.memory + PATH_ROOM;
		memcpy(m.payload, cmd->buf, m.len);
	}
	*message = m;
	return 0;
}

void ublk_message_exit(struct ublk_message *message)
{
	free(message->memory);
	*message = (struct ublk_message){ 0 };
}

void ublk_message_prep(const struct ublk_message *message, int fd, bool legacy,
		       struct io_uring_sqe *sqe)
{
	const struct ublk_control_cmd *cmd = &message->cmd;
	struct ublksrv_ctrl_cmd header = {
		.dev_id = cmd->dev_id,
		.queue_id = UBLK_QUEUE_NONE,
		.data = { cmd->data },
	};
	uint32_t nr = message->info1 ? UBLK_U_CMD_GET_DEV_INFO : cmd->op;

	/* The queue is an inline argument; the field that is named for it is never looked at. */
	if (nr == UBLK_U_CMD_GET_QUEUE_AFFINITY) {
		header.queue_id = cmd->queue_id;
		header.data[0] = cmd->queue_id;
	}
	if (message->path && !message->info1) {
		header.addr = (uintptr_t)message->path;
		header.len = (uint16_t)(message->path_len + message->len);
		header.dev_path_len = (uint16_t)message->path_len;
	} else if (message->payload) {
		header.addr = (uintptr_t)message->payload;
		header.len = (uint16_t)message->len;
	}

	uring_prep_cmd(sqe, UBLK_SQE128_SIZE, fd, legacy ? _IOC_NR(nr) : nr);
	memcpy(uring_cmd_data(sqe), &header, sizeof(header));
	/*
	 * The driver would answer an attempt to do it at once with -EAGAIN, and the command go to a
	 * worker then. But Linux 6.12's io_uring does not copy the entry on that way: the worker
	 * reads it in the submission queue, where the next command's may be by then, with somebody
	 * else's credentials. With this flag it is copied when it is taken, by every kernel.
	 */
	sqe->flags = IOSQE_ASYNC;
	sqe->personality = (uint16_t)cmd->personality;
}

int ublk_message_result(const struct ublk_message *message, int res)
{
	char path[UBLK_NODE_PATH_MAX];

	if (res == -KERNEL_ENOTSUPP)
		return -EOPNOTSUPP;
	/*
	 * A privileged device that is asked in the unprivileged form mostly finds nonsense in the
	 * path and says EINVAL; but GET_DEV_INFO and GET_QUEUE_AFFINITY just write, over the path.
	 * Say EINVAL for them too, lest the untouched payload pass for an answer.
	 */
	if (res >= 0 && message->path && message->payload && !message->info1) {
		ublk_node_path(UBLK_NODE_CHAR, message->cmd.dev_id, path);
		if (memcmp(message->path, path, message->path_len) != 0)
			return -EINVAL;
	}
	return res;
}

/*
 * Linux 6.0 to 6.2 have no GET_DEV_INFO2, and no unprivileged devices either. Their answer to an
 * unknown command is the one to an unknown device; GET_DEV_INFO then tells which it was. Nobody
 * gains by that: it is judged by the same credentials, which need CAP_SYS_ADMIN there, and an
 * unprivileged device refuses it for want of a path. Where the ioctl encoding is known,
 * GET_DEV_INFO2 is too, and an error is an error.
 */
bool ublk_message_falls_back(struct ublk_message *message, bool legacy, int res)
{
	if (!legacy || message->cmd.op != UBLK_U_CMD_GET_DEV_INFO2 || message->info1)
		return false;
	if (res != -ENODEV && res != -EOPNOTSUPP && res != -KERNEL_ENOTSUPP)
		return false;
	message->info1 = true;
	return true;
}
