/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of a control command: where the path and the payload go for which kind of device and
 * which age of driver, and what the driver's answers are taken for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ublk-message.h"
#include "uring-compat.h"

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(EXIT_FAILURE);                                                     \
		}                                                                               \
	} while (0)

#define FD   17
#define PATH "/dev/ublkc12"

static struct io_uring_sqe entry[2];

/* Prepare into an entry that is full of what was there before. */
static struct ublksrv_ctrl_cmd prep(const struct ublk_message *message, bool legacy)
{
	struct ublksrv_ctrl_cmd header;
	const uint8_t *data = uring_cmd_data(entry);

	memset(entry, 0xee, sizeof(entry));
	ublk_message_prep(message, FD, legacy, entry);
	CHECK(entry->opcode == IORING_OP_URING_CMD);
	CHECK(entry->fd == FD);
	/* Linux 6.12 would mix commands up without it. */
	CHECK(entry->flags == IOSQE_ASYNC);
	/* The kernel refuses a command with anything in its padding. */
	CHECK(entry->__pad1 == 0 && entry->uring_cmd_flags == 0);
	memcpy(&header, data, sizeof(header));
	for (size_t i = sizeof(header); i < 80; i++)
		CHECK(data[i] == 0);
	CHECK(header.pad == 0 && header.reserved == 0);
	return header;
}

static void test_unprivileged(void)
{
	uint64_t payload[4] = { 1, 2, 3, 4 };
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_SET_PARAMS,
		.dev_id = 12,
		.queue_id = 3,
		.data = 99,
		.buf = payload,
		.len = sizeof(payload),
		.personality = 5,
	};
	struct ublk_message message;
	struct ublksrv_ctrl_cmd header;

	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	CHECK(entry->cmd_op == UBLK_U_CMD_SET_PARAMS);
	CHECK(entry->personality == 5);
	CHECK(header.dev_id == 12 && header.queue_id == UBLK_QUEUE_NONE && header.data[0] == 99);
	CHECK(header.dev_path_len == strlen(PATH) + 1);
	CHECK(header.len == strlen(PATH) + 1 + sizeof(payload));
	CHECK(strcmp((char *)(uintptr_t)header.addr, PATH) == 0);
	CHECK(memcmp((char *)(uintptr_t)header.addr + header.dev_path_len, payload,
		     sizeof(payload)) == 0);
	/* The payload follows at once, and is aligned all the same. */
	CHECK((uintptr_t)message.payload == header.addr + header.dev_path_len);
	CHECK((uintptr_t)message.payload % _Alignof(max_align_t) == 0);
	/* A copy: the submitter's memory is its own again. */
	memset(payload, 0, sizeof(payload));
	CHECK(message.payload[0] == 1);
	ublk_message_exit(&message);

	/* Without a payload the path is all there is. */
	cmd = (struct ublk_control_cmd){ .op = UBLK_U_CMD_DEL_DEV, .dev_id = 12 };
	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	CHECK(header.len == header.dev_path_len && header.dev_path_len == strlen(PATH) + 1);
	ublk_message_exit(&message);
	ublk_message_exit(&message);
}

static void test_privileged(void)
{
	struct ublk_params params = { .len = sizeof(params) };
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_PARAMS,
		.dev_id = 12,
		.privileged = true,
		.buf = &params,
		.len = sizeof(params),
	};
	struct ublk_message message;
	struct ublksrv_ctrl_cmd header;

	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	CHECK(header.dev_path_len == 0 && header.len == sizeof(params));
	CHECK(memcmp((void *)(uintptr_t)header.addr, &params, sizeof(params)) == 0);
	ublk_message_exit(&message);

	/* This one has the path for both kinds. */
	cmd.op = UBLK_U_CMD_GET_DEV_INFO2;
	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	CHECK(header.dev_path_len == strlen(PATH) + 1);
	ublk_message_exit(&message);

	/* And these for neither. */
	cmd.op = UBLK_U_CMD_ADD_DEV;
	cmd.privileged = false;
	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	CHECK(header.dev_path_len == 0 && header.queue_id == UBLK_QUEUE_NONE);
	ublk_message_exit(&message);
	cmd.op = UBLK_U_CMD_GET_FEATURES;
	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	CHECK(header.dev_path_len == 0);
	ublk_message_exit(&message);
}

static void test_queue(void)
{
	uint64_t mask = 0;
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_QUEUE_AFFINITY,
		.dev_id = 12,
		.queue_id = 3,
		.buf = &mask,
		.len = sizeof(mask),
	};
	struct ublk_message message;
	struct ublksrv_ctrl_cmd header;

	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	/* The driver looks here. */
	CHECK(header.data[0] == 3);
	CHECK(header.queue_id == 3);
	ublk_message_exit(&message);
}

static void test_lengths(void)
{
	static uint8_t big[UINT16_MAX + 1];
	struct ublk_control_cmd cmd = { .op = UBLK_U_CMD_SET_PARAMS, .dev_id = 12, .buf = big };
	struct ublk_message message;
	struct ublksrv_ctrl_cmd header;

	cmd.len = UINT16_MAX - strlen(PATH) - 1;
	CHECK(ublk_message_init(&message, &cmd) == 0);
	header = prep(&message, false);
	CHECK(header.len == UINT16_MAX);
	ublk_message_exit(&message);
	cmd.len++;
	CHECK(ublk_message_init(&message, &cmd) == -EINVAL);
	cmd.privileged = true;
	cmd.len = UINT16_MAX;
	CHECK(ublk_message_init(&message, &cmd) == 0);
	ublk_message_exit(&message);
	cmd.len++;
	CHECK(ublk_message_init(&message, &cmd) == -EINVAL);
	cmd.len = SIZE_MAX;
	CHECK(ublk_message_init(&message, &cmd) == -EINVAL);
	cmd = (struct ublk_control_cmd){ .op = UBLK_CMD_GET_DEV_INFO };
	CHECK(ublk_message_init(&message, &cmd) == -EINVAL);
}

static void test_legacy(void)
{
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_DEV_INFO2,
		.dev_id = 12,
		.buf = &info,
		.len = sizeof(info),
	};
	struct ublk_message message;
	struct ublksrv_ctrl_cmd header;

	CHECK(ublk_message_init(&message, &cmd) == 0);
	prep(&message, true);
	CHECK(entry->cmd_op == UBLK_CMD_GET_DEV_INFO2);

	/* Where the ioctl encoding is known, every error is an error. */
	CHECK(!ublk_message_falls_back(&message, false, -ENODEV));
	CHECK(!ublk_message_falls_back(&message, false, -EOPNOTSUPP));
	/* Where it is not, those that speak of the device or of the right to it are. */
	CHECK(!ublk_message_falls_back(&message, true, 0));
	CHECK(!ublk_message_falls_back(&message, true, -EACCES));
	CHECK(!ublk_message_falls_back(&message, true, -EPERM));
	CHECK(!ublk_message_falls_back(&message, true, -EINVAL));
	CHECK(ublk_message_falls_back(&message, true, -ENODEV));
	header = prep(&message, true);
	CHECK(entry->cmd_op == UBLK_CMD_GET_DEV_INFO);
	CHECK(header.dev_path_len == 0 && header.len == sizeof(info));
	CHECK(header.addr == (uintptr_t)message.payload);
	/* Once. */
	CHECK(!ublk_message_falls_back(&message, true, -ENODEV));
	ublk_message_exit(&message);

	/* No other command has a stand-in. */
	cmd.op = UBLK_U_CMD_GET_PARAMS;
	CHECK(ublk_message_init(&message, &cmd) == 0);
	CHECK(!ublk_message_falls_back(&message, true, -ENODEV));
	ublk_message_exit(&message);
}

static void test_results(void)
{
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd = {
		.op = UBLK_U_CMD_GET_DEV_INFO,
		.dev_id = 12,
		.buf = &info,
		.len = sizeof(info),
	};
	struct ublk_message message;

	CHECK(ublk_message_init(&message, &cmd) == 0);
	CHECK(ublk_message_result(&message, 0) == 0);
	CHECK(ublk_message_result(&message, 7) == 7);
	CHECK(ublk_message_result(&message, -EBUSY) == -EBUSY);
	CHECK(ublk_message_result(&message, -524) == -EOPNOTSUPP);
	/* The answer went over the path: the device is of the other kind. */
	memset(message.path, 0, 4);
	CHECK(ublk_message_result(&message, 0) == -EINVAL);
	CHECK(ublk_message_result(&message, -EBUSY) == -EBUSY);
	ublk_message_exit(&message);
}

static void test_known(void)
{
	const struct ublk_command *resize = ublk_command_find(UBLK_U_CMD_UPDATE_SIZE);
	const struct ublk_command *start = ublk_command_find(UBLK_U_CMD_START_DEV);

	CHECK(resize && start);
	CHECK(ublk_command_is_known(resize, false, UBLK_F_UPDATE_SIZE | UBLK_F_ZONED));
	CHECK(!ublk_command_is_known(resize, false, UBLK_F_ZONED));
	/* Nothing known is nothing known. */
	CHECK(ublk_command_is_known(resize, false, 0));
	CHECK(!ublk_command_is_known(resize, true, 0));
	CHECK(ublk_command_is_known(start, true, 0));
	CHECK(!ublk_command_is_known(ublk_command_find(UBLK_U_CMD_GET_FEATURES), true, 0));
	CHECK(!ublk_command_find(0) && !ublk_command_find(UBLK_U_IO_FETCH_REQ));
}

int main(void)
{
	test_unprivileged();
	test_privileged();
	test_queue();
	test_lengths();
	test_legacy();
	test_results();
	test_known();
	return EXIT_SUCCESS;
}
