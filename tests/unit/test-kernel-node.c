/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a person calls a device: which words mean a number, and which do not. Nodes themselves, on a
 * /dev of this test's own where that may be made (as root), are followed by place, name and type.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ublk-node.h"

#define UNTOUCHED 4711U

static int failures;

static void check_word(const char *word, int expected, uint32_t number)
{
	uint32_t dev_id = UNTOUCHED;
	int ret = ublk_node_parse(word, &dev_id);

	if (ret != expected || dev_id != (expected < 0 ? UNTOUCHED : number)) {
		fprintf(stderr, "\"%s\": %d (%s), %u\n", word, ret, strerror(-ret), dev_id);
		failures++;
	}
}

static void test_words(void)
{
	static const char *const none[] = {
		"",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1a",
		"0x1",
		"01",
		"00",
		"ublkb",
		"ublkb01",
		"ublkb-1",
		"ublkb1 ",
		"ublkd1",
		"xublkb1",
		"ublkb1p1",
		"ublk1",
		"disk",
		"4294967295",
		"4294967296",
		"ublkb4294967295",
		"18446744073709551616",
		"99999999999999999999999",
	};

	check_word("0", 0, 0);
	check_word("3", 0, 3);
	check_word("ublkb0", 0, 0);
	check_word("ublkb31", 0, 31);
	check_word("ublkc31", 0, 31);
	check_word("4294967294", 0, 4294967294U);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		check_word(none[i], -EINVAL, 0);
}

static void test_paths(const char *dir)
{
	char path[256], link[256];
	int fd;

	check_word("/dev/ublkb4294967", -ENOENT, 0);
	check_word("/absent/ublkb3", -ENOENT, 0);
	check_word("/dev/null/ublkb3", -ENOENT, 0);
	check_word("/dev/null", -EINVAL, 0);
	check_word("/", -EINVAL, 0);
	check_word("./ublkb3", -ENOENT, 0);

	/* A file of that name is no device; nor is a link to what is none, or to itself. */
	snprintf(path, sizeof(path), "%s/ublkb3", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	check_word(path, -EINVAL, 0);
	snprintf(link, sizeof(link), "%s/disk", dir);
	if (symlink(path, link) < 0)
		failures++;
	check_word(link, -EINVAL, 0);
	unlink(path);
	check_word(link, -ENOENT, 0);
	unlink(link);
	if (symlink(link, link) < 0)
		failures++;
	check_word(link, -ELOOP, 0);
	unlink(link);
}

static bool make_dev(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev", "tmpfs", 0, "mode=755") < 0)
		return false;
	return mknod("/dev/ublkb7", S_IFBLK | 0600, makedev(259, 77)) == 0 &&
	       mknod("/dev/ublkc8", S_IFCHR | 0600, makedev(240, 8)) == 0;
}

static void test_nodes(void)
{
	if (mkdir("/dev/disk", 0755) < 0 || mkdir("/dev/disk/by-ublk", 0755) < 0 ||
	    symlink("../../ublkb7", "/dev/disk/by-ublk/1000-disk") < 0 ||
	    symlink("disk/by-ublk/1000-disk", "/dev/again") < 0 ||
	    mknod("/dev/disk/ublkb9", S_IFBLK | 0600, makedev(259, 9)) < 0 ||
	    mknod("/dev/ublkb10", S_IFCHR | 0600, makedev(240, 10)) < 0 ||
	    mknod("/dev/ublkc11", S_IFBLK | 0600, makedev(259, 11)) < 0 ||
	    mknod("/dev/ublkb12", S_IFREG | 0600, 0) < 0 ||
	    mknod("/dev/ublkb7p1", S_IFBLK | 0600, makedev(259, 78)) < 0)
		failures++;

	check_word("/dev/ublkb7", 0, 7);
	check_word("/dev/ublkc8", 0, 8);
	check_word("/dev/disk/by-ublk/1000-disk", 0, 7);
	check_word("/dev/again", 0, 7);
	check_word("/dev/../dev/./ublkb7", 0, 7);
	/* In another place; of another type; a partition. */
	check_word("/dev/disk/ublkb9", -EINVAL, 0);
	check_word("/dev/ublkb10", -EINVAL, 0);
	check_word("/dev/ublkc11", -EINVAL, 0);
	check_word("/dev/ublkb12", -EINVAL, 0);
	check_word("/dev/ublkb7p1", -EINVAL, 0);
}

static void test_path(void)
{
	char path[UBLK_NODE_PATH_MAX];

	if (strcmp(ublk_node_path(UBLK_NODE_BLOCK, UINT32_MAX, path), "/dev/ublkb4294967295") ||
	    strcmp(ublk_node_path(UBLK_NODE_CHAR, 0, path), "/dev/ublkc0")) {
		fprintf(stderr, "path: %s\n", path);
		failures++;
	}
}

int main(void)
{
	char dir[] = "/tmp/test-kernel-node-XXXXXX";

	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	test_path();
	test_words();
	test_paths(dir);
	rmdir(dir);
	if (geteuid() == 0 && make_dev())
		test_nodes();
	else
		printf("nodes: not tested, for want of the right to make them\n");
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
