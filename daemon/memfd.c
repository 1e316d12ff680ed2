/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "error.h"

/* Shorter: the server dies of SIGBUS in its mapping. And nobody takes a seal's promise back. */
#define NEEDED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Linux 5.1; glibc 2.36 (Debian 12) has it, in a header that the above does not bring. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static gboolean refuse(GError **error, UblkError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(GError **error, UblkError code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (error)
		*error = g_error_new_valist(UBLK_ERROR, code, format, args);
	va_end(args);
	return FALSE;
}

gboolean memfd_check(int fd, guint64 max_size, Memfd *memfd, GError **error)
{
	guint64 page = (guint64)sysconf(_SC_PAGESIZE);
	int seals, flags;
	struct statfs fs;
	struct stat st;

	/*
	 * First of all, since the kernel answers it without asking anybody: fstat() or fstatfs() of
	 * a FUSE file would wait for its server, which may be the caller. What has these seals is
	 * one of the kernel's own two file systems for memfds (a file in /dev/shm cannot be
	 * sealed).
	 */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return refuse(error, UBLK_ERROR_INVALID_ARGUMENT,
			      "the descriptor is not a memfd (memfd_create(2) with "
			      "MFD_ALLOW_SEALING)");
	if ((seals & NEEDED_SEALS) != NEEDED_SEALS)
		return refuse(error, UBLK_ERROR_INVALID_ARGUMENT,
			      "the memfd must be sealed with F_SEAL_SHRINK, F_SEAL_GROW and "
			      "F_SEAL_SEAL, so that nobody can make it shorter under the server");
	/* Mapping huge pages takes them out of the administrator's pool on our account. */
	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return refuse(error, UBLK_ERROR_INVALID_ARGUMENT,
			      "a memfd of huge pages (MFD_HUGETLB) is not supported");
	flags = fcntl(fd, F_GETFL);
	if (fstat(fd, &st) < 0 || flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
		return refuse(error, UBLK_ERROR_INVALID_ARGUMENT, "the memfd cannot be read");
	if (st.st_size <= 0 || (guint64)st.st_size % page)
		return refuse(error, UBLK_ERROR_INVALID_ARGUMENT,
			      "the memfd has %" G_GINT64_FORMAT
			      " bytes, which is not a multiple of the page size, %" G_GUINT64_FORMAT
			      ", above 0",
			      (gint64)st.st_size, page);
	memfd->size = (guint64)st.st_size;
	if (memfd->size > max_size)
		return refuse(error, UBLK_ERROR_LIMIT_EXCEEDED,
			      "the memfd has %" G_GUINT64_FORMAT
			      " bytes, and the driver takes at most %" G_GUINT64_FORMAT
			      " in one buffer",
			      memfd->size, max_size);
	/*
	 * A page that is not there yet would be made by the one who pins it, and be counted as
	 * ublkd's memory instead of the caller's; and the making of many takes long, with a lock
	 * held that the main loop needs too. (Who punches holes at this very moment gets away with
	 * it, as far as the limits go.)
	 */
	if ((guint64)st.st_blocks * 512 < memfd->size)
		return refuse(error, UBLK_ERROR_INVALID_ARGUMENT,
			      "the memfd has holes: call fallocate() on it first, so that its "
			      "memory is its owner's");
	memfd->read_only = (flags & O_ACCMODE) == O_RDONLY ||
			   (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0;
	return TRUE;
}

void *memfd_map(int fd, const Memfd *memfd, GError **error)
{
	void *at = mmap(NULL, memfd->size, memfd->read_only ? PROT_READ : PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);

	if (at != MAP_FAILED) {
		/* It is nobody else's than the driver's: no child of ours shall inherit it. */
		madvise(at, memfd->size, MADV_DONTFORK);
		return at;
	}
	refuse(error, UBLK_ERROR_LIMIT_EXCEEDED, "ublkd cannot map the memfd: %s",
	       g_strerror(errno));
	return NULL;
}
