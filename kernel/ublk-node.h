/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver's nodes: /dev/ublkcN (char, for the server) and /dev/ublkbN (block, for the users).
 *
 * A name is looked up once, into an O_PATH descriptor; whose number it is, who owns it and what is
 * handed on are then questions to that descriptor, never to the name again: the number behind a
 * name can be given to another user's device at any moment.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Room for "/dev/ublkb4294967295" and its NUL. */
#define UBLK_NODE_PATH_MAX 24

enum ublk_node {
	UBLK_NODE_CHAR,
	UBLK_NODE_BLOCK,
};

/* Write the node's path into `path` and return it. */
const char *ublk_node_path(enum ublk_node kind, uint32_t dev_id, char path[UBLK_NODE_PATH_MAX]);

struct ublk_node_owner {
	uid_t uid;
	gid_t gid;
	mode_t mode;
	dev_t rdev;
};

/*
 * Open the node as O_PATH (no right to it is needed, nothing of the driver is touched), and check
 * that it is a device of the right kind whose number is the one that sysfs gives for it. Returns
 * the descriptor (CLOEXEC, the caller's) and describes it in *owner (may be NULL). -ENOENT, or
 * -ENODEV if it is not the driver's node.
 */
int ublk_node_open(enum ublk_node kind, uint32_t dev_id, struct ublk_node_owner *owner);

/*
 * The device number that a person's word means: "3", "ublkb3", "ublkc3", "/dev/ublkb3",
 * "/dev/ublkc3", or a link to one of them ("/dev/disk/by-ublk/1000-disk"). Returns 0 and *dev_id,
 * or -EINVAL when it is none of these (a plain name is for the caller to look up), -ENOENT when the
 * path does not exist.
 */
int ublk_node_parse(const char *word, uint32_t *dev_id);
