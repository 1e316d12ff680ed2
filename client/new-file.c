/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "new-file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backing-file.h"
#include "deadline.h"
#include "errors.h"
#include "output.h"
#include "progress.h"
#include "signals.h"

/* Between two looks at the clock, and what a signal may have to wait for. */
#define STEP_SIZE   (64 << 20)
#define ZEROES_SIZE (1 << 20)

struct new_file {
	char *path;
	const char *name; /* the end of it: in folder */
	/* What the path leads to may change: this is where the file is. */
	int folder;
	int fd;
};

#define LOCK_TRIES    20
#define LOCK_PAUSE_US (50 * 1000)

/* What on_fatal_signal() removes, or NULL. */
static NewFile *volatile pending;

/* Somebody may have put another file there meanwhile: that one is not ours. */
static gboolean is_in_place(const NewFile *file)
{
	struct stat ours, there;

	return fstat(file->fd, &ours) == 0 &&
	       fstatat(file->folder, file->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/*
 * As a server does, so that none can take the file any more and it can be removed. FALSE where one
 * has it, or nobody can tell. For as long as the file is open; may be called in a signal handler.
 */
static gboolean lock(const NewFile *file)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(file->fd, F_OFD_SETLK, &lock) == 0;
}

/* Only what a signal handler may call. The signal's old disposition is in force again: it ends us.
 */
static void on_fatal_signal(int signal)
{
	NewFile *file = pending;

	if (file && lock(file) && is_in_place(file))
		unlinkat(file->folder, file->name, 0);
	progress_wipe();
	raise(signal);
}

static void catch_signals(NewFile *file)
{
	struct sigaction catch = { .sa_handler = on_fatal_signal, .sa_flags = SA_RESETHAND };

	pending = file;
	for (gsize i = 0; i < G_N_ELEMENTS(signals_fatal); i++)
		if (!signals_is_ignored(signals_fatal[i]))
			sigaction(signals_fatal[i], &catch, NULL);
}

static void release_signals(void)
{
	struct sigaction present;

	for (gsize i = 0; i < G_N_ELEMENTS(signals_fatal); i++)
		if (sigaction(signals_fatal[i], NULL, &present) == 0 &&
		    present.sa_handler == on_fatal_signal)
			signal(signals_fatal[i], SIG_DFL);
	pending = NULL;
}

static gboolean fail_errno(const NewFile *file, int saved, GError **error)
{
	return errors_set_errno(error, saved, "cannot make %s", file->path);
}

/* @free: bytes that were there before. */
static gboolean fail_full(const NewFile *file, guint64 size, guint64 free, GError **error)
{
	g_autofree char *wanted = output_format_size(size);
	g_autofree char *has = output_format_size(free);

	g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
		    "there is no room for %s: its file system has %s free, and --preallocate "
		    "reserves %s; without it room is taken when it is written to",
		    file->path, has, wanted);
	return FALSE;
}

/* Where the file system knows no fallocate(). */
static int write_zeroes(int fd, guint64 offset, guint64 length)
{
	g_autofree char *zeroes = g_malloc0(ZEROES_SIZE);

	while (length > 0) {
		gssize written = pwrite(fd, zeroes, MIN(length, ZEROES_SIZE), (off_t)offset);

		if (written < 0 && errno != EINTR)
			return -1;
		if (written > 0) {
			offset += written;
			length -= written;
		}
	}
	return 0;
}

static int reserve_step(int fd, guint64 offset, guint64 length)
{
	int result;

	do
		result = fallocate(fd, 0, (off_t)offset, (off_t)length);
	while (result < 0 && errno == EINTR);
	return result < 0 && errno == EOPNOTSUPP ? write_zeroes(fd, offset, length) : result;
}

static gboolean reserve(const NewFile *file, guint64 size, GError **error)
{
	struct statvfs fs;
	guint64 room = fstatvfs(file->fd, &fs) == 0 ? (guint64)fs.f_bavail * fs.f_frsize : size;
	Progress progress;

	/* Everybody's disk is not filled to the brim first. */
	if (room < size)
		return fail_full(file, size, room, error);
	progress_begin(&progress, size);
	for (guint64 done = 0; done < size; done += STEP_SIZE) {
		progress_show(&progress, done);
		if (!deadline_check(error)) {
			progress_end(&progress);
			return FALSE;
		}
		if (reserve_step(file->fd, done, MIN(size - done, STEP_SIZE)) == 0)
			continue;
		progress_end(&progress);
		if (errno == ENOSPC || errno == EDQUOT)
			return fail_full(file, size, room, error);
		return fail_errno(file, errno, error);
	}
	progress_end(&progress);
	return TRUE;
}

/* The group that a user has alone, for whose sake the user's folders may be writable for groups. */
static gboolean is_own_group(gid_t gid)
{
	const struct passwd *user = output_is_namespaced() ? NULL : getpwuid(geteuid());
	const struct group *group = user && gid == user->pw_gid ? getgrgid(gid) : NULL;

	return group && g_str_equal(group->gr_name, user->pw_name) && !group->gr_mem[0];
}

/* Whether nobody but the caller can give a name in it to another file. */
static gboolean is_private(const struct stat *folder)
{
	if (folder->st_uid != geteuid() && folder->st_uid != 0)
		return FALSE;
	if (folder->st_mode & S_ISVTX)
		return TRUE;
	return !(folder->st_mode & S_IWOTH) &&
	       (!(folder->st_mode & S_IWGRP) || is_own_group(folder->st_gid));
}

/* A signal between the two would leave a file that on_fatal_signal() does not know. */
static int open_new(NewFile *file)
{
	sigset_t fatal, before;
	int saved;

	sigemptyset(&fatal);
	for (gsize i = 0; i < G_N_ELEMENTS(signals_fatal); i++)
		sigaddset(&fatal, signals_fatal[i]);
	pthread_sigmask(SIG_BLOCK, &fatal, &before);
	file->fd = openat(file->folder, file->name,
			  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	saved = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return file->fd < 0 ? saved : 0;
}

/* The server is given the path, and opens whatever is there by then, with the caller's rights. */
static gboolean open_folder(NewFile *file, GError **error)
{
	const char *slash = strrchr(file->path, '/');
	g_autofree char *folder = g_path_get_dirname(file->path);
	struct stat st;

	file->name = slash ? slash + 1 : file->path;
	file->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (file->folder < 0 || fstat(file->folder, &st) < 0)
		return fail_errno(file, errno, error);
	if (!is_private(&st)) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_USAGE,
			    "--create: others may put another file in its place in %s; choose a "
			    "directory that only you can write in, or `chmod go-w` this one if it "
			    "is yours",
			    folder);
		return FALSE;
	}
	return TRUE;
}

NewFile *new_file_create(const char *path, guint64 size, gboolean preallocate, GError **error)
{
	g_autoptr(NewFile) file = g_new0(NewFile, 1);
	int failure;

	file->path = g_strdup(path);
	file->folder = file->fd = -1;
	if (!open_folder(file, error))
		return NULL;
	catch_signals(file);
	failure = open_new(file);
	if (failure == EEXIST) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_BUSY,
			    "%s exists already: leave --create out to use it as it is, or choose "
			    "another name",
			    path);
		return NULL;
	}
	if (failure) {
		fail_errno(file, failure, error);
		return NULL;
	}
	/* A limit on files is an error here, not our death. */
	signal(SIGXFSZ, SIG_IGN);
	if (ftruncate(file->fd, (off_t)size) < 0) {
		fail_errno(file, errno, error);
		new_file_remove(file);
		return NULL;
	}
	if (preallocate && !reserve(file, size, error)) {
		new_file_remove(file);
		return NULL;
	}
	return g_steal_pointer(&file);
}

gboolean new_file_is_taken(const NewFile *file)
{
	return backing_file_is_locked(file->fd);
}

void new_file_keep(NewFile *file)
{
	release_signals();
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/* A server that was just ended may have it for a moment, until its io_uring is cleaned up. */
static gboolean lock_soon(const NewFile *file)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (lock(file))
			return TRUE;
		g_usleep(LOCK_PAUSE_US);
	}
	return FALSE;
}

/* Why it stays, or NULL: it is gone, or not there any more. */
static const char *try_remove(const NewFile *file)
{
	if (file->fd < 0 || !is_in_place(file))
		return NULL;
	if (!lock_soon(file))
		return "a device may have it";
	return is_in_place(file) && unlinkat(file->folder, file->name, 0) < 0 ? g_strerror(errno)
									      : NULL;
}

void new_file_remove(NewFile *file)
{
	const char *why = try_remove(file);

	if (why) {
		g_autofree char *name = output_escape_text(file->path);

		g_printerr("%s stays: %s\n", name, why);
	}
	new_file_keep(file);
}

void new_file_free(NewFile *file)
{
	new_file_remove(file);
	if (file->folder >= 0)
		close(file->folder);
	g_free(file->path);
	g_free(file);
}
