/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening /dev/ublkcN. See char-device.h. */
#include "char-device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char *explain_open_error(int err, bool by_descriptor)
{
	switch (err) {
	case EBUSY:
		return "another process serves this device: there can be only one";
	case EACCES:
		return "the server's user has no read and write permission to it (its owner has)";
	case EPERM:
		return "a device policy forbids it (systemd's DeviceAllow=, a container's cgroup)";
	case ENOENT:
		return by_descriptor ? "/proc is not mounted here"
				     : "there is no such device (any more)";
	case ENXIO:
	case ENODEV:
		return "the device was deleted";
	default:
		return strerror(err);
	}
}

/*
 * The driver's character devices have the device's number as their minor, which a wrong descriptor
 * can be told by without sysfs (a container may have none).
 */
static int check_char_device(int fd, const char *what, uint32_t dev_id, struct server_error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return server_error_set(error, errno, "cannot look at %s: %s", what,
					strerror(errno));
	if (!S_ISCHR(st.st_mode) || minor(st.st_rdev) != dev_id)
		return server_error_set(error, ENODEV, "%s is not the character device ublkc%u",
					what, dev_id);
	return 0;
}

static int open_descriptor(const struct options *options, struct server_error *error)
{
	char what[32], path[32];
	int flags, fd, ret;

	snprintf(what, sizeof(what), "descriptor %d", options->char_fd);
	flags = fcntl(options->char_fd, F_GETFL);
	if (flags < 0)
		return server_error_set(error, errno, "%s (--char-fd) is not open", what);
	ret = check_char_device(options->char_fd, what, options->dev_id, error);
	if (ret < 0)
		return ret;

	/*
	 * Only one open at a time: who has it open already, and then became us by exec, is the
	 * device's server and must not open it again.
	 */
	if (!(flags & O_PATH)) {
		if ((flags & O_ACCMODE) != O_RDWR)
			return server_error_set(error, EBADF,
						"%s (--char-fd) is neither O_PATH nor open for "
						"reading and writing",
						what);
		fd = fcntl(options->char_fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return server_error_set(error, errno, "cannot duplicate %s: %s", what,
						strerror(errno));
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", options->char_fd);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return server_error_set(
				error, errno, "cannot open /dev/ublkc%u through %s: %s",
				options->dev_id, what, explain_open_error(errno, true));
	}
	close(options->char_fd);
	return fd;
}

int char_device_open(const struct options *options, struct server_error *error)
{
	int fd, ret;

	if (options->char_fd >= 0)
		return open_descriptor(options, error);
	/* Not blocking, and never as our terminal, whatever it may be. */
	fd = open(options->char_device, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return server_error_set(error, errno, "cannot open %s: %s", options->char_device,
					explain_open_error(errno, false));
	ret = check_char_device(fd, options->char_device, options->dev_id, error);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}
