/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What keeps a device from being deleted without a thought (client/device-use.h). */
#include <glib/gstdio.h>

#include "device-use.h"

static char *root;

static void write_file(const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(root, name, NULL);
	g_autofree char *folder = g_path_get_dirname(path);

	g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void assert_use(guint32 id, const char *expected)
{
	g_autofree char *use = device_use_describe(root, id);

	g_assert_cmpstr(use, ==, expected);
}

static void assert_claim(guint32 id, const char *expected)
{
	g_autofree char *use = device_use_describe_claim(root, id);

	g_assert_true(g_str_has_prefix(use, expected));
}

static void test_uses(void)
{
	g_autofree char *command = NULL;

	root = g_dir_make_tmp("ublk-use-XXXXXX", NULL);
	assert_use(0, NULL);
	write_file("proc/self/mountinfo",
		   "24 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1 rw\n"
		   "90 24 259:3 /sub /mnt/my\\040disk rw - ext4 /dev/ublkb0 rw\n"
		   "91 24 259:7 / /srv rw - ext4 /dev/ublkb1p1 rw\n"
		   "92 24 0:50 / /mnt/pool rw - btrfs /dev/ublkb4 rw\n"
		   "93 24 0:51 / /mnt/part rw shared:1 - btrfs /dev/ublkb5p2 rw\n"
		   "94 24 0:52 / /home/bob/x rw - fuse.x /dev/ublkb6 rw\n"
		   "95 24 0:53 / /odd rw - tmpfs\n");
	write_file("proc/swaps", "Filename\tType\n/dev/ublkb2                      partition\n");
	write_file("sys/block/ublkb0/dev", "259:3\n");
	write_file("sys/block/ublkb1/dev", "259:6\n");
	write_file("sys/block/ublkb1/ublkb1p1/dev", "259:7\n");
	write_file("sys/block/ublkb2/dev", "259:8\n");
	write_file("sys/block/ublkb3/dev", "259:9\n");
	write_file("sys/block/ublkb3/holders/dm-0", "");
	/* Its number is the beginning of another's. */
	write_file("sys/block/ublkb22/dev", "259:22\n");
	assert_use(0, "/dev/ublkb0 is mounted at /mnt/my disk: unmount it first");
	assert_use(1, "/dev/ublkb1p1 is mounted at /srv: unmount it first");
	assert_use(2, "/dev/ublkb2 is used as swap: `swapoff /dev/ublkb2` first");
	assert_use(3, "/dev/ublkb3 is used by the block device dm-0: remove that first");
	assert_use(22, NULL);
	/* Its source is what who has mounted it says: it counts once the kernel has spoken. */
	write_file("sys/block/ublkb4/dev", "259:24\n");
	write_file("sys/block/ublkb5/ublkb5p2/dev", "259:25\n");
	assert_use(4, NULL);
	assert_claim(4, "/dev/ublkb4 is mounted at /mnt/pool: unmount it first");
	assert_claim(5, "/dev/ublkb5p2 is mounted at /mnt/part: unmount it first");
	assert_claim(6, "/dev/ublkb6 is claimed by something that is not seen here");
	command = g_strdup_printf("rm -r %s", root);
	g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
	g_free(root);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/device-use/uses", test_uses);
	return g_test_run();
}
