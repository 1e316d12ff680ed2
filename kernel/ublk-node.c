/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver's nodes. See ublk-node.h.
 */
#include "ublk-node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const struct {
	const char *name;  /* without its number */
	const char *sysfs; /* the class that lists it */
	mode_t type;
} kinds[] = {
	[UBLK_NODE_CHAR] = { "ublkc", "/sys/class/ublk-char", S_IFCHR },
	[UBLK_NODE_BLOCK] = { "ublkb", "/sys/class/block", S_IFBLK },
};

const char *ublk_node_path(enum ublk_node kind, uint32_t dev_id, char path[UBLK_NODE_PATH_MAX])
{
	snprintf(path, UBLK_NODE_PATH_MAX, "/dev/%s%u", kinds[kind].name, dev_id);
	return path;
}

/* The device number that the driver registered under that name, from the kernel's own mouth. */
static int read_sysfs_rdev(enum ublk_node kind, uint32_t dev_id, dev_t *rdev)
{
	unsigned int major, minor;
	char path[64], text[32];
	ssize_t n;
	char end;
	int fd;

	snprintf(path, sizeof(path), "%s/%s%u/dev", kinds[kind].sysfs, kinds[kind].name, dev_id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	text[n] = '\0';
	if (sscanf(text, "%u:%u%c", &major, &minor, &end) != 3 || end != '\n')
		return -EIO;
	*rdev = makedev(major, minor);
	return 0;
}

int ublk_node_open(enum ublk_node kind, uint32_t dev_id, struct ublk_node_owner *owner)
{
	char path[UBLK_NODE_PATH_MAX];
	struct stat st;
	dev_t rdev = 0;
	int fd, ret;

	/* O_NOFOLLOW: the kernel makes nodes; a link in that place is somebody's trick. */
	fd = open(ublk_node_path(kind, dev_id, path), O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		ret = -errno;
		goto fail;
	}
	ret = -ENODEV;
	if ((st.st_mode & S_IFMT) != kinds[kind].type)
		goto fail;
	if (read_sysfs_rdev(kind, dev_id, &rdev) < 0 || rdev != st.st_rdev)
		goto fail;

	if (owner)
		*owner = (struct ublk_node_owner){
			.uid = st.st_uid,
			.gid = st.st_gid,
			.mode = st.st_mode,
			.rdev = st.st_rdev,
		};
	return fd;

fail:
	close(fd);
	return ret;
}

/* A number as the kernel writes it, and nothing behind it: no sign, no space, no leading zero. */
static bool parse_number(const char *text, uint32_t *number)
{
	uint64_t value = 0;

	if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		/* UINT32_MAX itself means "any". */
		if (value >= UINT32_MAX)
			return false;
	}
	*number = (uint32_t)value;
	return true;
}

static bool parse_name(const char *name, enum ublk_node *kind, uint32_t *dev_id)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].name);

		if (strncmp(name, kinds[i].name, len) == 0 && parse_number(name + len, dev_id)) {
			*kind = (enum ublk_node)i;
			return true;
		}
	}
	return false;
}

int ublk_node_parse(const char *word, uint32_t *dev_id)
{
	char *target;
	enum ublk_node kind;
	uint32_t number;
	struct stat st;
	int ret = -EINVAL;

	if (!strchr(word, '/')) {
		if (parse_number(word, dev_id) || parse_name(word, &kind, dev_id))
			return 0;
		return -EINVAL;
	}

	/*
	 * A path: where it leads must be one of the driver's nodes by place, name and type, lest a
	 * file that is merely called ublkb3 stand for the device 3. The result is a number that
	 * somebody meant, not a right to it: what is done with it is judged by the driver, so that
	 * it does no harm if a link is changed behind our back.
	 */
	target = realpath(word, NULL);
	if (!target)
		return errno == ENOENT || errno == ENOTDIR ? -ENOENT : -errno;
	if (strncmp(target, "/dev/", strlen("/dev/")) == 0 &&
	    parse_name(target + strlen("/dev/"), &kind, &number) && lstat(target, &st) == 0 &&
	    (st.st_mode & S_IFMT) == kinds[kind].type) {
		*dev_id = number;
		ret = 0;
	}
	free(target);
	return ret;
}
