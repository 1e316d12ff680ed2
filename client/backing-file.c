/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backing-file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "errors.h"
#include "output.h"

#define SECTOR_SIZE 512

BackingFile *backing_file_new(const char *path)
{
	BackingFile *file = g_new0(BackingFile, 1);

	file->path = g_strdup(path);
	file->fd = -1;
	return file;
}

void backing_file_free(BackingFile *file)
{
	if (file->fd >= 0)
		close(file->fd);
	g_free(file->path);
	g_free(file);
}

static gboolean fail_errno(const BackingFile *file, int saved, GError **error)
{
	return errors_set_errno(error, saved, "the backing file, %s", file->path);
}

/* Of a disk or a partition, without opening it: that could be refused, or have an effect. */
static gboolean get_block_size(const BackingFile *file, dev_t number, guint64 *size, GError **error)
{
	g_autofree char *path =
		g_strdup_printf("/sys/dev/block/%u:%u/size", major(number), minor(number));
	g_autofree char *text = NULL;
	guint64 sectors;

	if (!g_file_get_contents(path, &text, NULL, error))
		return FALSE;
	if (!g_ascii_string_to_unsigned(g_strchomp(text), 10, 0, G_MAXUINT64 / SECTOR_SIZE,
					&sectors, error))
		return FALSE;
	*size = sectors * SECTOR_SIZE;
	return TRUE;
}

gboolean backing_file_get_size(const BackingFile *file, guint64 *size, GError **error)
{
	struct stat st;

	if (stat(file->path, &st) < 0)
		return fail_errno(file, errno, error);
	if (S_ISBLK(st.st_mode))
		return get_block_size(file, st.st_rdev, size, error);
	*size = (guint64)st.st_size;
	if (S_ISREG(st.st_mode))
		return TRUE;
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
		    "the backing file, %s, is neither a file nor a block device any more",
		    file->path);
	return FALSE;
}

gboolean backing_file_is_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

gboolean backing_file_grow(BackingFile *file, guint64 size, GError **error)
{
	struct stat st;

	/* Not blocking, should it be a pipe by now. */
	file->fd = open(file->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &st) < 0)
		return fail_errno(file, errno, error);
	if (!S_ISREG(st.st_mode)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "%s is no regular file: make it larger by its own means, and leave "
			    "--grow-file out",
			    file->path);
		return FALSE;
	}
	file->before = file->after = (guint64)st.st_size;
	if (file->before >= size)
		return TRUE;
	if (!backing_file_is_locked(file->fd)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			    "%s is not the file of this device: no program uses it, so it was put "
			    "there after the device was made",
			    file->path);
		return FALSE;
	}
	/* A limit on files is an error here, not our death. */
	signal(SIGXFSZ, SIG_IGN);
	if (ftruncate(file->fd, (off_t)size) < 0)
		return fail_errno(file, errno, error);
	file->after = size;
	return TRUE;
}

void backing_file_shrink_back(BackingFile *file)
{
	struct stat st;

	if (file->after == file->before || fstat(file->fd, &st) < 0 ||
	    (guint64)st.st_size != file->after)
		return;
	if (ftruncate(file->fd, (off_t)file->before) < 0) {
		int saved = errno;
		g_autofree char *name = output_escape_text(file->path);

		g_printerr("%s stays at %" G_GUINT64_FORMAT " bytes: %s\n", name, file->after,
			   g_strerror(saved));
	}
	file->after = file->before;
}
