/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why the server must not live among other people's mounts:
 *
 * - Where a file system on its own device is mounted, the last process to leave the mount namespace
 *   unmounts it, which writes it back. If that is the server, which is on its way out and serves
 *   nobody, the kernel waits for the server in the server, and no signal ends that (seen on Linux
 *   6.12 and 7.2: the exit stands in sync_filesystem()).
 * - With a copy of all mounts, which later ones do not get into (what a unit with PrivateMounts=
 *   has), the copies outlive what happens outside: a file system that is unmounted there stays
 *   mounted here, is not written back, and its disk cannot be taken away.
 *
 * So the server has a namespace with nothing but an empty, read-only directory. Who has no
 * CAP_SYS_ADMIN may make one in a user namespace of its own. Nothing is mapped into that (no file
 * is going to be opened by name, and the kernel judges by its own ids), and the capabilities that
 * come with it are given up at once.
 */
#include "mount-namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of open_tree(2), which Debian 12's C library declares in a header that clashes with others. */
#define TREE_CLONE 1

/* Some directory that is there everywhere, to be covered. */
#define COVERED "/proc"

static int refused(const char **step, const char *what)
{
	*step = what;
	return -errno;
}

/*
 * A mount of its own that is mounted nowhere, instead of a place in the old tree. With all that is
 * mounted below: container engines hide parts of /sys by that.
 */
static bool detach(int readable, const char *path)
{
	long tree = syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | AT_RECURSIVE | O_CLOEXEC);
	bool done;

	if (tree < 0)
		return false;
	done = dup3((int)tree, readable, O_CLOEXEC) == readable;
	close((int)tree);
	return done;
}

static int empty(const char **step)
{
	/*
	 * Nothing of what follows shall be seen outside. Not private: should it fail, what is
	 * unmounted outside must still be unmounted in the copy.
	 */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return refused(step, "cutting the mounts off");
	if (mount("empty", COVERED, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,nr_inodes=1,mode=555") < 0)
		return refused(step, "mounting an empty directory");
	if (chdir(COVERED) < 0)
		return refused(step, "entering the empty directory");
	/* The old root goes on top of the new one, and from there away with all that is below it.
	 */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return refused(step, "pivot_root");
	if (umount2(".", MNT_DETACH) < 0)
		return refused(step, "unmounting the old root");
	if (chdir("/") < 0)
		return refused(step, "entering the new root");
	return 0;
}

static int drop_capabilities(const char **step)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capset, &header, none) < 0)
		return refused(step, "giving up the user namespace's capabilities");
	return 0;
}

int mount_namespace_leave(int readable, const char *path, bool *detached, const char **step)
{
	bool privileged;
	int ret, dropped = 0;

	*detached = false;
	/*
	 * With CAP_SYS_ADMIN without a user namespace: the driver asks for that capability, of a
	 * server whose device shall be scanned for partitions.
	 */
	privileged = unshare(CLONE_NEWNS) == 0;
	if (!privileged && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return refused(step, "unshare");
	if (readable >= 0)
		*detached = detach(readable, path);
	ret = empty(step);
	if (!privileged)
		dropped = drop_capabilities(step);
	return dropped < 0 ? dropped : ret;
}
