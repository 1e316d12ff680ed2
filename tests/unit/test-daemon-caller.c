/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a caller's paths mean what they mean to the host is read off the mount at "/". */
#include <unistd.h>

#include "daemon/caller.h"

static const char host[] = "23 1 259:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
			   "24 23 0:22 / /proc rw shared:2 - proc proc rw\n";

static void knows_its_own_namespace(void)
{
	/* other mounts and other options make no difference; the mount's id does */
	g_assert_true(caller_same_root_mount(host, host));
	g_assert_true(caller_same_root_mount(
		host,
		"24 23 0:22 / /proc rw - proc proc rw\n23 1 259:0 / / ro,relatime - ext4 x ro\n"));
}

static void knows_another_namespace(void)
{
	/* a container, a copy of the namespace (unshare -m), a chroot into a mount and into a
	 * folder */
	g_assert_false(caller_same_root_mount(host, "999 950 0:50 / / rw - overlay overlay rw\n"));
	g_assert_false(caller_same_root_mount(host, "423 401 259:0 / / rw - ext4 /dev/root rw\n"));
	g_assert_false(caller_same_root_mount(host, "24 23 0:22 / / rw - proc proc rw\n"));
	g_assert_false(caller_same_root_mount(host, "24 23 0:22 / /proc rw - proc proc rw\n"));
	g_assert_false(caller_same_root_mount(host, "23 1 259:0 /jail / rw - ext4 /dev/root rw\n"));
}

static void fails_closed(void)
{
	g_assert_false(caller_same_root_mount(NULL, NULL));
	g_assert_false(caller_same_root_mount(host, NULL));
	g_assert_false(caller_same_root_mount("", ""));
	g_assert_false(caller_same_root_mount("garbage", "garbage"));
	/* a mount point may have blanks in it, written as \040: it cannot pose as "/" */
	g_assert_false(caller_same_root_mount(host, "23 1 259:0 / /\\040/ rw - ext4 x rw\n"));
}

static void tells_a_process_user(void)
{
	uid_t uid = 12345;

	g_assert_true(caller_process_uid(getpid(), &uid));
	g_assert_cmpuint(uid, ==, getuid());
	g_assert_false(caller_process_uid(0x7fffffff, &uid));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/caller/knows-its-own-namespace", knows_its_own_namespace);
	g_test_add_func("/caller/knows-another-namespace", knows_another_namespace);
	g_test_add_func("/caller/fails-closed", fails_closed);
	g_test_add_func("/caller/tells-a-process-user", tells_a_process_user);
	return g_test_run();
}
