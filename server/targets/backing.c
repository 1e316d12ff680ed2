/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file or block device behind a loop device. See backing.h. */
#include "backing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* A killed server's lock lives until the kernel has cleaned up its io_uring. */
#define LOCK_TRIES      20
#define LOCK_PAUSE_NS   (50 * 1000 * 1000)
#define MAX_BLOCK_SIZE  4096
#define DEFAULT_SECTOR  512
#define PUNCH_PROBE_GAP (1ULL << 30)

struct opened {
	const char *what; /* for messages */
	struct stat st;
	bool own; /* the open file description is ours alone: flags and locks may be set */
};

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static int check_type(const struct stat *st, const char *what, struct server_error *error)
{
	const char *kind;

	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
	case S_IFBLK:
		return 0;
	case S_IFDIR:
		kind = "a directory";
		break;
	case S_IFCHR:
		kind = "a character device";
		break;
	case S_IFIFO:
		kind = "a pipe";
		break;
	case S_IFSOCK:
		kind = "a socket";
		break;
	default:
		kind = "neither a file nor a block device";
		break;
	}
	return server_error_set(error, S_ISDIR(st->st_mode) ? EISDIR : EINVAL,
				"%s is %s; a regular file or a block device is needed", what, kind);
}

/* A device on itself (or on a partition of itself) would wait for itself. */
static int check_not_itself(const struct stat *st, const char *what, uint32_t dev_id,
			    struct server_error *error)
{
	char path[64], link[PATH_MAX], own[32];
	const char *found;
	ssize_t len;

	if (!S_ISBLK(st->st_mode))
		return 0;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(st->st_rdev),
		 minor(st->st_rdev));
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return 0; /* no sysfs here; and before START_DEV there is no such node either */
	link[len] = '\0';
	snprintf(own, sizeof(own), "/ublkb%u", dev_id);
	found = strstr(link, own);
	if (found && (found[strlen(own)] == '\0' || found[strlen(own)] == '/'))
		return server_error_set(error, ELOOP, "%s is this very device, ublkb%u", what,
					dev_id);
	return 0;
}

static int open_flags(const struct options *options, const struct stat *st)
{
	int flags = O_CLOEXEC | O_NOCTTY | (options->read_only ? O_RDONLY : O_RDWR);

	/*
	 * On a block device O_EXCL claims it: refused if it is mounted, or another writer has
	 * claimed it. A reader does not claim, so that several may share.
	 */
	if (S_ISBLK(st->st_mode) && !options->read_only)
		flags |= O_EXCL;
	return flags;
}

static int explain_open(const struct options *options, const char *what, int err,
			struct server_error *error)
{
	const char *verb = options->read_only ? "reading" : "reading and writing";

	switch (err) {
	case EACCES:
	case EPERM:
		return server_error_set(error, err,
					"cannot open %s for %s: %s; the server runs as uid %u and "
					"needs that permission%s",
					what, verb, strerror(err), (unsigned int)getuid(),
					options->read_only ? ""
							   : " (or make the device read-only)");
	case EROFS:
		return server_error_set(error, err,
					"%s is on a read-only file system; make the device "
					"read-only too",
					what);
	case EBUSY:
		return server_error_set(error, err,
					"%s is in use (mounted, or part of another device); what "
					"is written by two gets destroyed",
					what);
	case ETXTBSY:
		return server_error_set(error, err, "%s is in use as a program or as swap space",
					what);
	case ENOENT:
		return server_error_set(error, err, "%s does not exist where the server runs",
					what);
	default:
		return server_error_set(error, err, "cannot open %s for %s: %s", what, verb,
					strerror(err));
	}
}

static int open_path(const struct options *options, struct opened *opened,
		     struct server_error *error)
{
	const char *path = options->file;
	struct stat st;
	int fd, ret;

	opened->what = path;
	/* Look before opening: to open a pipe blocks, and to open a device may do something. */
	if (stat(path, &st) < 0)
		return explain_open(options, path, errno, error);
	ret = check_type(&st, path, error);
	if (ret == 0)
		ret = check_not_itself(&st, path, options->dev_id, error);
	if (ret < 0)
		return ret;
	/* It may be a pipe by now; for a file this changes nothing. */
	fd = open(path, open_flags(options, &st) | (S_ISREG(st.st_mode) ? O_NONBLOCK : 0));
	if (fd < 0)
		return explain_open(options, path, errno, error);
	/* What counts is what was opened. */
	if (fstat(fd, &opened->st) < 0 || opened->st.st_dev != st.st_dev ||
	    opened->st.st_ino != st.st_ino || opened->st.st_rdev != st.st_rdev) {
		close(fd);
		return server_error_set(error, ESTALE, "%s was exchanged while it was opened",
					path);
	}
	/* io_uring would give up a request rather than wait. */
	if (S_ISREG(st.st_mode) && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0) {
		ret = errno;
		close(fd);
		return explain_open(options, path, ret, error);
	}
	opened->own = true;
	return fd;
}

/* `fd` becomes ours in any case. */
static int open_descriptor(const struct options *options, int fd, struct opened *opened,
			   struct server_error *error)
{
	int flags = fcntl(fd, F_GETFL);
	char path[32];
	int own, ret;

	opened->what = "the backing file's descriptor";
	if (flags < 0 || fstat(fd, &opened->st) < 0)
		return server_error_set(error, EBADF,
					"descriptor %d for the backing file is not open", fd);
	ret = check_type(&opened->st, opened->what, error);
	if (ret == 0)
		ret = check_not_itself(&opened->st, opened->what, options->dev_id, error);
	if (ret == 0 && (flags & O_PATH))
		ret = server_error_set(error, EBADF,
				       "%s was opened with O_PATH, which grants nothing; open it "
				       "for reading%s",
				       opened->what, options->read_only ? "" : " and writing");
	if (ret == 0 && (flags & O_ACCMODE) == O_WRONLY)
		ret = server_error_set(error, EBADF, "%s is not open for reading", opened->what);
	if (ret == 0 && !options->read_only && (flags & O_ACCMODE) != O_RDWR)
		ret = server_error_set(error, EROFS,
				       "%s is open for reading only: open it for writing too, or "
				       "make the device read-only",
				       opened->what);
	if (ret < 0) {
		close(fd);
		return ret;
	}

	/*
	 * An open file description of our own, where that is possible: the sender's shares its
	 * flags (O_APPEND would send every write to the end) and locks with us. Its rights were
	 * checked above, so this cannot gain any; where it loses some, the sender's is used as it
	 * is.
	 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, open_flags(options, &opened->st));
	if (own >= 0 || errno == EBUSY) {
		ret = errno;
		close(fd);
		opened->own = true;
		return own >= 0 ? own : explain_open(options, opened->what, ret, error);
	}
	if (flags & (O_APPEND | O_NONBLOCK)) {
		close(fd);
		return server_error_set(error, EINVAL,
					"%s has O_APPEND or O_NONBLOCK set, and the server may not "
					"open it anew; open it without",
					opened->what);
	}
	return fd;
}

/*
 * Two writers to one image destroy it, so a regular file is locked: many readers, or one writer.
 * The lock is on the open file description, so it goes with the last of our threads and rings, and
 * it is of the kind that QEMU uses: a virtual machine on the same image is found too.
 */
static int lock_file(int fd, const struct options *options, const char *what,
		     struct server_error *error)
{
	struct flock lock = {
		.l_type = options->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			break;
		nanosleep(&pause, NULL);
	}
	if (errno == EAGAIN || errno == EACCES)
		return server_error_set(
			error, EBUSY,
			"%s is in use by another program (a second device or a "
			"virtual machine on it?)%s",
			what,
			options->read_only ? "" : "; only read-only devices can share a file");
	/* Some file systems have no locks: then nobody can look after it. */
	server_log("%s cannot be locked against a second writer: %s", what, strerror(errno));
	return 0;
}

/*
 * Who has made the file for this device may have given it up meanwhile, and removed it while it had
 * the lock (client/new-file.c): what was written to it would be lost. A file that never had a name,
 * or is opened by a path of /proc/PID/fd, is still what the path leads to, or was passed.
 */
static int check_not_removed(int fd, const char *path, struct server_error *error)
{
	struct stat st, there;

	if (fstat(fd, &st) < 0 || st.st_nlink > 0 ||
	    (stat(path, &there) == 0 && st.st_dev == there.st_dev && st.st_ino == there.st_ino))
		return 0;
	return server_error_set(error, ENOENT, "%s was removed while it was opened", path);
}

static uint64_t read_sysfs_number(const char *directory, const char *name, uint64_t fallback)
{
	unsigned long long value;
	char path[128];
	FILE *file;
	int n;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "re");
	if (!file)
		return fallback;
	n = fscanf(file, "%llu", &value);
	fclose(file);
	return n == 1 ? value : fallback;
}

static int examine_block(struct backing *backing, const struct opened *opened,
			 struct server_error *error)
{
	unsigned int value = 0;
	unsigned short rotational = 0;
	char queue[64];
	int number = 0;

	backing->is_block = true;
	if (ioctl(backing->fd, BLKGETSIZE64, &backing->size) < 0 ||
	    ioctl(backing->fd, BLKSSZGET, &number) < 0)
		return server_error_set(error, errno, "cannot read the size of %s: %s",
					opened->what, strerror(errno));
	backing->logical_block_size = (uint32_t)number;
	if (ioctl(backing->fd, BLKPBSZGET, &value) == 0)
		backing->physical_block_size = value;
	if (ioctl(backing->fd, BLKIOMIN, &value) == 0 && is_power_of_two(value))
		backing->io_min = value;
	if (ioctl(backing->fd, BLKIOOPT, &value) == 0 && is_power_of_two(value))
		backing->io_opt = value;
	if (ioctl(backing->fd, BLKROTATIONAL, &rotational) == 0)
		backing->rotational = rotational != 0;

	/* A partition's queue is its disk's. */
	snprintf(queue, sizeof(queue), "/sys/dev/block/%u:%u/queue", major(opened->st.st_rdev),
		 minor(opened->st.st_rdev));
	if (access(queue, F_OK) < 0)
		snprintf(queue, sizeof(queue), "/sys/dev/block/%u:%u/../queue",
			 major(opened->st.st_rdev), minor(opened->st.st_rdev));
	/*
	 * fallocate(PUNCH_HOLE) on a block device is a write of zeroes that may unmap, never a bare
	 * discard: what was discarded reads as zeroes, which not every disk's discard gives. A disk
	 * that cannot unmap still takes it, and writes each zero: that is no discard.
	 */
	backing->can_punch = read_sysfs_number(queue, "write_zeroes_max_bytes", 0) > 0;
	backing->can_discard =
		backing->can_punch && read_sysfs_number(queue, "discard_max_bytes", 0) > 0;
	backing->discard_granularity = (uint32_t)read_sysfs_number(queue, "discard_granularity", 0);
	return 0;
}

static void examine_file(struct backing *backing, const struct opened *opened,
			 const struct options *options)
{
	uint64_t beyond;

	backing->size = (uint64_t)opened->st.st_size;
	if (is_power_of_two((uint64_t)opened->st.st_blksize)) {
		backing->physical_block_size = (uint32_t)opened->st.st_blksize;
		backing->discard_granularity = (uint32_t)opened->st.st_blksize;
	}
	if (options->read_only)
		return;
	/* A hole far behind the end changes nothing, and tells whether there are holes. */
	beyond = backing->size - backing->size % MAX_BLOCK_SIZE + PUNCH_PROBE_GAP;
	backing->can_punch = fallocate(backing->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				       (off_t)beyond, MAX_BLOCK_SIZE) == 0 ||
			     errno == EFBIG || errno == ENOSPC;
	backing->can_discard = backing->can_punch;
}

/* Does a direct read of `size` bytes at `size` work? In a file too short for that nothing is read.
 */
static bool try_direct_read(int fd, uint32_t size)
{
	void *buffer;
	ssize_t ret;

	if (posix_memalign(&buffer, MAX_BLOCK_SIZE, size) != 0)
		return false;
	ret = pread(fd, buffer, size, size);
	free(buffer);
	return ret >= 0;
}

/* The alignment that direct I/O needs on this backing, or 0 if there is none. */
static uint32_t find_direct_alignment(const struct backing *backing)
{
	struct statx stx;
	uint32_t size;
	int flags;

	/* Since 6.1, and not by every file system: what it says is the truth, silence says nothing.
	 */
	if (!backing->is_block &&
	    statx(backing->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		if (stx.stx_dio_mem_align > (uint32_t)sysconf(_SC_PAGESIZE) ||
		    !is_power_of_two(stx.stx_dio_offset_align))
			return 0;
		return stx.stx_dio_offset_align;
	}
	flags = fcntl(backing->fd, F_GETFL);
	if (fcntl(backing->fd, F_SETFL, flags | O_DIRECT) < 0)
		return 0;
	size = backing->is_block ? backing->logical_block_size : DEFAULT_SECTOR;
	while (size <= MAX_BLOCK_SIZE && !try_direct_read(backing->fd, size))
		size *= 2;
	fcntl(backing->fd, F_SETFL, flags);
	return size <= MAX_BLOCK_SIZE ? size : 0;
}

static bool is_in_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static int choose_direct(struct backing *backing, const struct opened *opened,
			 const struct options *options, struct server_error *error)
{
	uint32_t wanted = options->logical_block_size;
	int flags = fcntl(backing->fd, F_GETFL);
	uint32_t alignment;

	/* A sender's description is used as it came, and not changed behind its back. */
	if (!opened->own && !(flags & O_DIRECT)) {
		if (options->io_mode == OPTIONS_IO_DIRECT)
			return server_error_set(error, EINVAL,
						"%s was not opened for direct I/O, and the server "
						"may not open it anew",
						opened->what);
		return 0;
	}
	if (options->io_mode == OPTIONS_IO_BUFFERED && opened->own)
		return 0;

	alignment = find_direct_alignment(backing);
	if (!wanted)
		wanted = backing->logical_block_size ? backing->logical_block_size : DEFAULT_SECTOR;
	if (options->io_mode == OPTIONS_IO_DIRECT && !options->logical_block_size &&
	    alignment > wanted)
		wanted = alignment;
	if (alignment && alignment <= MAX_BLOCK_SIZE && alignment <= wanted) {
		backing->direct = true;
		backing->direct_alignment = alignment;
		if (alignment > backing->logical_block_size &&
		    options->io_mode == OPTIONS_IO_DIRECT)
			backing->logical_block_size = alignment;
		fcntl(backing->fd, F_SETFL, flags | O_DIRECT);
		return 0;
	}
	if (options->io_mode == OPTIONS_IO_DIRECT || (flags & O_DIRECT)) {
		if (!alignment)
			return server_error_set(error, EINVAL,
						"%s cannot be accessed directly: its file system "
						"has no direct I/O; leave --direct out",
						opened->what);
		return server_error_set(error, EINVAL,
					"%s can be accessed directly in blocks of %u bytes only, "
					"and the logical block size is %u",
					opened->what, alignment, wanted);
	}
	return 0;
}

int backing_open(const struct options *options, int received, struct backing *backing,
		 struct server_error *error)
{
	struct opened opened = { 0 };
	int ret;

	*backing = (struct backing){ .fd = -1 };
	if (options->file)
		ret = open_path(options, &opened, error);
	else
		ret = open_descriptor(options, received >= 0 ? received : options->file_fd, &opened,
				      error);
	if (ret < 0)
		return ret;
	backing->fd = ret;
	if (S_ISBLK(opened.st.st_mode)) {
		ret = examine_block(backing, &opened, error);
	} else {
		/* Before anything is tried on it. */
		ret = lock_file(backing->fd, options, opened.what, error);
		if (ret == 0 && options->file)
			ret = check_not_removed(backing->fd, options->file, error);
		if (ret == 0)
			examine_file(backing, &opened, options);
		backing->in_memory = is_in_memory(backing->fd);
	}
	if (ret == 0)
		ret = choose_direct(backing, &opened, options, error);
	if (ret < 0)
		backing_close(backing);
	return ret;
}

void backing_close(struct backing *backing)
{
	if (backing->fd >= 0)
		close(backing->fd);
	backing->fd = -1;
}
