/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A control command as it crosses the line: which commands there are, what each needs, and the
 * bytes that it is made of. Of the control ring alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ublk-control.h"

struct io_uring_sqe;

enum ublk_command_trait {
	UBLK_COMMAND_NO_PATH = 1 << 0,     /* about no device that exists already */
	UBLK_COMMAND_ALWAYS_PATH = 1 << 1, /* whatever kind the device is */
	/* Doing it again after an interruption is the same as having waited on. */
	UBLK_COMMAND_RESTARTS = 1 << 2,
	UBLK_COMMAND_CREATES = 1 << 3, /* success makes something: never to be left alone */
};

struct ublk_command {
	uint32_t op;         /* UBLK_U_CMD_* */
	unsigned int traits; /* enum ublk_command_trait */
	uint64_t feature;    /* the UBLK_F_* whose absence means that the driver lacks it; or 0 */
};

/* NULL: no such command. */
const struct ublk_command *ublk_command_find(uint32_t op);

/* Whether the driver knows it; features as of GET_FEATURES, 0 if unknown. */
bool ublk_command_is_known(const struct ublk_command *command, bool legacy, uint64_t features);

struct ublk_message {
	const struct ublk_command *command;
	struct ublk_control_cmd cmd; /* as submitted, without its buf */
	/*
	 * [path NUL][payload], the path at the end of its room, so that the payload may be looked
	 * at as the structure that it is. Never the submitter's memory, which may be gone while the
	 * kernel still writes here.
	 */
	uint8_t *memory;
	uint8_t *path;    /* NULL: none */
	uint8_t *payload; /* NULL: none */
	size_t path_len;  /* with its NUL */
	size_t len;       /* of the payload */
	bool info1;       /* GET_DEV_INFO goes in the place of GET_DEV_INFO2 */
};

/* -EINVAL: no such command, or too long; -ENOMEM. */
int ublk_message_init(struct ublk_message *message, const struct ublk_control_cmd *cmd);

/* Zeroed: no-op. Not while the kernel may write to it. */
void ublk_message_exit(struct ublk_message *message);

/* Write it into a 128-byte entry, all of it, for the control device `fd`. */
void ublk_message_prep(const struct ublk_message *message, int fd, bool legacy,
		       struct io_uring_sqe *sqe);

/* From what the kernel says to what the submitter is told. */
int ublk_message_result(const struct ublk_message *message, int res);

/*
 * Whether the answer is that of a driver without GET_DEV_INFO2; if so, the message is GET_DEV_INFO
 * from now on, and to be sent again.
 */
bool ublk_message_falls_back(struct ublk_message *message, bool legacy, int res);
