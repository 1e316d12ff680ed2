/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose is this ublk device? Called by udev's rule 59-ublk.rules, as root.
 *
 *   ublk-owner describe NODE   print what the kernel knows about the device as udev properties
 *   ublk-owner claim NODE      give the node of an unprivileged device to the device's owner
 *
 * and by ublkd (seize) and administrators (delete).
 *
 * NODE is the kernel's name: ublkc3 or ublkb3. The owner is the one that the driver noted when the
 * device was added, and never read from a file; a file of ublkd's gives at most a name.
 *
 * Why `claim`, and not udev's OWNER=? Number 3 may be deleted and added by somebody else at any
 * moment. udev asks first and then changes the owner of whatever has the name and the device number
 * then, which may be another user's device. `claim` holds on to the node first (O_PATH), then
 * asks, then changes the very node that it holds: a node dies before its number is free, so if the
 * number changed hands in between, then what is changed is a node that no longer has a name. That
 * would still be a way into the number's next device for somebody who kept a descriptor of it, so
 * a dead node is taken back. (Besides, systemd 258 and 259 ignore OWNER= of users that are not
 * system users.)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "owner-name.h"
#include "kernel/ublk-control.h"
#include "kernel/ublk-node.h"

/*
 * A command that hangs in the kernel must not hang udev's worker. The driver answers GET_DEV_INFO2
 * without waiting for anybody, so this is for a kernel that is broken.
 */
#define DEADLINE_SECONDS 10

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define cleanup_fd __attribute__((cleanup(close_fd)))

static int fail(const char *node, const char *what, int r)
{
	fprintf(stderr, "ublk-owner: %s: %s: %s\n", node, what, strerror(-r));
	return EXIT_FAILURE;
}

/* Strict: udev gives the kernel's name, nothing else. "ublkb3p1", a partition, is refused. */
static int parse_node(const char *name, enum ublk_node *kind, uint32_t *dev_id)
{
	unsigned long long n;
	char *end;

	if (!strncmp(name, "ublkc", 5))
		*kind = UBLK_NODE_CHAR;
	else if (!strncmp(name, "ublkb", 5))
		*kind = UBLK_NODE_BLOCK;
	else
		return -EINVAL;
	name += 5;
	if (name[0] < '0' || name[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(name, &end, 10);
	if (errno || *end || n >= UBLK_DEV_ID_ANY)
		return -EINVAL;
	*dev_id = (uint32_t)n;
	return 0;
}

static int get_info(uint32_t dev_id, struct ublksrv_ctrl_dev_info *info)
{
	struct ublk_control *ctl = NULL;
	int r = ublk_control_open(NULL, 1, &ctl);

	if (r < 0)
		return r;
	memset(info, 0, sizeof(*info));
	r = ublk_control_get_dev_info(ctl, dev_id, info);
	ublk_control_close(ctl);
	return r < 0 ? r : 0;
}

static int describe(const char *node, uint32_t dev_id)
{
	struct ublksrv_ctrl_dev_info info;
	char name[OWNER_NAME_MAX + 1];
	bool unprivileged;
	int r = get_info(dev_id, &info);

	if (r < 0)
		return fail(node, "the kernel does not say whose device it is", r);
	unprivileged = info.flags & UBLK_F_UNPRIVILEGED_DEV;
	/* Nothing that a user chose is printed unchecked: a line more would be a property more. */
	printf("UBLK_ID=%" PRIu32 "\n", dev_id);
	printf("UBLK_UNPRIVILEGED=%d\n", unprivileged);
	printf("UBLK_OWNER_UID=%" PRIu32 "\n", info.owner_uid);
	printf("UBLK_OWNER_GID=%" PRIu32 "\n", info.owner_gid);

	r = owner_name_read(OWNER_STATE_DIR, dev_id, info.ublksrv_flags, 0, name);
	if (r == 0)
		printf("UBLK_NAME=%s\n", name);
	else if (r != -ENOENT && r != -ESTALE)
		fail(node, "ignoring the name in " OWNER_STATE_DIR, r);
	if (fflush(stdout) || ferror(stdout))
		return fail(node, "cannot print", -errno);
	return EXIT_SUCCESS;
}

static int claim(const char *node, enum ublk_node kind, uint32_t dev_id)
{
	struct ublksrv_ctrl_dev_info info;
	struct ublk_node_owner now;
	cleanup_fd int fd = -1;
	struct stat st;
	int r;

	/* First the node, then the question; the order is the point, see above. */
	fd = ublk_node_open(kind, dev_id, &now);
	if (fd == -ENOENT)
		return EXIT_SUCCESS;
	if (fd < 0)
		return fail(node, "cannot open the node", fd);
	r = get_info(dev_id, &info);
	if (r == -ENODEV)
		return EXIT_SUCCESS;
	if (r < 0)
		return fail(node, "the kernel does not say whose device it is", r);

	if (!(info.flags & UBLK_F_UNPRIVILEGED_DEV))
		return EXIT_SUCCESS;
	if (now.uid == info.owner_uid && now.gid == info.owner_gid)
		return EXIT_SUCCESS;
	if (fchownat(fd, "", info.owner_uid, info.owner_gid, AT_EMPTY_PATH) < 0)
		return fail(node, "cannot give the node to its owner", -errno);

	if (fstat(fd, &st) < 0)
		return fail(node, "cannot look at the node", -errno);
	if (st.st_nlink == 0 && fchownat(fd, "", 0, 0, AT_EMPTY_PATH) < 0)
		return fail(node, "cannot take back a dead node", -errno);
	return EXIT_SUCCESS;
}

/*
 * Make the node root's, 0600. For ublkd, which has no right to a node that its owner has closed to
 * everybody (chmod 0), and could not take the device away then. The cookie, 16 hexadecimal digits,
 * says which device is meant; here too the node is held first and the kernel asked then.
 */
static int seize(const char *node, enum ublk_node kind, uint32_t dev_id, const char *cookie)
{
	struct ublksrv_ctrl_dev_info info;
	struct ublk_node_owner now;
	char path[64];
	cleanup_fd int fd = -1;
	char *end;
	uint64_t wanted;
	int r;

	errno = 0;
	wanted = strtoull(cookie, &end, 16);
	if (errno || *end || end - cookie != 16)
		return fail(node, "the cookie must have 16 hexadecimal digits", -EINVAL);
	fd = ublk_node_open(kind, dev_id, &now);
	if (fd < 0)
		return fail(node, "cannot open the node", fd);
	r = get_info(dev_id, &info);
	if (r < 0)
		return fail(node, "the kernel does not say whose device it is", r);
	if (info.ublksrv_flags != wanted)
		return fail(node, "it is another device by now", -ESTALE);
	if (fchownat(fd, "", 0, 0, AT_EMPTY_PATH) < 0)
		return fail(node, "cannot take the node", -errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, 0600) < 0)
		return fail(node, "cannot change the node's mode", -errno);
	return EXIT_SUCCESS;
}

/* In doubt, as with a pid that is none: yes. */
static bool is_served(const struct ublksrv_ctrl_dev_info *info)
{
	cleanup_fd int server = -1;

	if (info->state != UBLK_S_DEV_LIVE)
		return false;
	server = pidfd_open(info->ublksrv_pid, 0);
	return server >= 0 || errno != ESRCH;
}

/*
 * Take away a user's device that ublkd has lost: for an administrator, whom `ublk-client doctor`
 * tells to. One that is served is not lost to everybody: unless `force`, it is refused. Whoever has
 * the character device open is waited for, within the deadline.
 */
static int delete_device(const char *node, uint32_t dev_id, bool force)
{
	struct ublk_control *ctl = NULL;
	struct ublksrv_ctrl_dev_info info = { 0 };
	int r = ublk_control_open(NULL, 1, &ctl);

	if (r < 0)
		return fail(node, "cannot ask the kernel", r);
	r = ublk_control_get_dev_info(ctl, dev_id, &info);
	/* Those that root added are another program's. */
	if (r >= 0 && !(info.flags & UBLK_F_UNPRIVILEGED_DEV))
		r = -EPERM;
	if (r >= 0 && !force && is_served(&info)) {
		fprintf(stderr,
			"ublk-owner: %s: process %" PRId32 " serves it; --force deletes it\n", node,
			info.ublksrv_pid);
		ublk_control_close(ctl);
		return EXIT_FAILURE;
	}
	if (r >= 0)
		r = ublk_control_stop_dev(ctl, dev_id);
	if (r >= 0)
		r = ublk_control_del_dev(ctl, dev_id, DEADLINE_SECONDS * 1000 / 2);
	ublk_control_close(ctl);
	return r < 0 ? fail(node, "cannot delete the device", r) : EXIT_SUCCESS;
}

/* The end, without output, whatever dispositions were inherited; the rule then leaves the node to
 * root. */
static void set_deadline(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	signal(SIGALRM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	alarm(DEADLINE_SECONDS);
}

int main(int argc, char **argv)
{
	enum ublk_node kind;
	uint32_t dev_id;
	bool force = argc == 4 && !strcmp(argv[1], "delete") && !strcmp(argv[3], "--force");

	if (argc < 3 || argc != (force || !strcmp(argv[1], "seize") ? 4 : 3) ||
	    parse_node(argv[2], &kind, &dev_id) < 0) {
		fprintf(stderr, "usage: ublk-owner describe|claim ublkcN|ublkbN\n"
				"       ublk-owner delete ublkcN|ublkbN [--force]\n"
				"       ublk-owner seize ublkcN|ublkbN COOKIE\n");
		return 2;
	}
	set_deadline();
	if (!strcmp(argv[1], "describe"))
		return describe(argv[2], dev_id);
	if (!strcmp(argv[1], "claim"))
		return claim(argv[2], kind, dev_id);
	if (!strcmp(argv[1], "delete"))
		return delete_device(argv[2], dev_id, force);
	if (!strcmp(argv[1], "seize"))
		return seize(argv[2], kind, dev_id, argv[3]);
	fprintf(stderr, "ublk-owner: no such verb: %s\n", argv[1]);
	return 2;
}
