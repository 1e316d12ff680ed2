/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of --create: whole or not at all (client/new-file.h). */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backing-file.h"
#include "deadline.h"
#include "errors.h"
#include "new-file.h"
#include "progress.h"

static char *folder, *path;

/* The child interrupts itself as soon as the file is there. */
static int raised_by_open;
/* Of the last file that was removed: whether no server could take it any more. */
static gboolean removed_locked;
/* No file can be removed. */
static gboolean removal_fails;

/* In place of libc's. */
int openat(int at, const char *name, int flags, ...)
{
	int fd = (int)syscall(SYS_openat, at, name, flags, 0600);

	if (fd >= 0 && raised_by_open)
		raise(raised_by_open);
	return fd;
}

int unlinkat(int at, const char *name, int flags)
{
	int fd = (int)syscall(SYS_openat, at, name, O_RDWR | O_CLOEXEC, 0);

	removed_locked = backing_file_is_locked(fd);
	close(fd);
	if (removal_fails) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_unlinkat, at, name, flags);
}

static void set_up(void)
{
	folder = g_dir_make_tmp("ublk-new-file-XXXXXX", NULL);
	path = g_build_filename(folder, "disk.img", NULL);
}

static void tear_down(void)
{
	g_assert_cmpint(g_rmdir(folder), ==, 0);
	g_free(folder);
	g_free(path);
}

static gboolean exists(void)
{
	return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void assert_refused(guint64 size, gboolean preallocate, const char *text)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(new_file_create(path, size, preallocate, &error));
	g_assert_nonnull(error);
	g_assert_nonnull(strstr(error->message, text));
}

/* Private, sparse, and gone unless somebody says that a device has it. */
static void test_sparse(void)
{
	NewFile *file;
	struct stat st;

	set_up();
	file = new_file_create(path, 1 << 30, FALSE, NULL);
	g_assert_cmpint(g_stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_size, ==, 1 << 30);
	g_assert_cmpint(st.st_blocks, <, 1024);
	g_assert_cmpint(st.st_mode & 07777, ==, 0600);
	new_file_free(file);
	g_assert_false(exists());
	g_assert_true(removed_locked);

	file = new_file_create(path, 4096, FALSE, NULL);
	new_file_keep(file);
	new_file_free(file);
	g_assert_true(exists());

	/* What is there is never touched. */
	assert_refused(8192, FALSE, "exists already: leave --create out");
	g_assert_cmpint(g_stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_size, ==, 4096);
	g_assert_cmpint(g_unlink(path), ==, 0);
	tear_down();
}

/* It was moved away, and something else is there: that is somebody's. */
static void test_replaced(void)
{
	g_autofree char *other = NULL;
	NewFile *file;

	set_up();
	other = g_build_filename(folder, "moved.img", NULL);
	file = new_file_create(path, 4096, FALSE, NULL);
	g_assert_cmpint(g_rename(path, other), ==, 0);
	g_assert_true(g_file_set_contents(path, "precious", -1, NULL));
	new_file_remove(file);
	new_file_free(file);
	g_assert_true(exists());
	g_assert_cmpint(g_unlink(path), ==, 0);
	g_assert_cmpint(g_unlink(other), ==, 0);
	tear_down();
}

/* Another folder is there now: what was made is where the first one is. */
static void test_folder_replaced(void)
{
	g_autofree char *moved = NULL, *made = NULL;
	NewFile *file;

	set_up();
	moved = g_strconcat(folder, ".moved", NULL);
	made = g_build_filename(moved, "disk.img", NULL);
	file = new_file_create(path, 4096, FALSE, NULL);
	g_assert_cmpint(g_rename(folder, moved), ==, 0);
	g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
	g_assert_true(g_file_set_contents(path, "precious", -1, NULL));
	g_assert_true(g_file_test(made, G_FILE_TEST_EXISTS));
	new_file_free(file);
	g_assert_true(exists());
	g_assert_false(g_file_test(made, G_FILE_TEST_EXISTS));
	g_assert_cmpint(g_unlink(path), ==, 0);
	g_assert_cmpint(g_rmdir(moved), ==, 0);
	tear_down();
}

/* Where others can put a link in its place, the server would write to what that leads to. */
static void test_others_write(void)
{
	set_up();
	g_assert_cmpint(chmod(folder, 0777), ==, 0);
	assert_refused(4096, FALSE, "others may put another file in its place");
	g_assert_false(exists());
	/* As /tmp: there they cannot. */
	g_assert_cmpint(chmod(folder, 01777), ==, 0);
	new_file_free(new_file_create(path, 4096, FALSE, NULL));
	if (geteuid() == 0) {
		g_assert_cmpint(chown(folder, 1, -1), ==, 0);
		assert_refused(4096, FALSE, "others may put another file in its place");
		g_assert_cmpint(chown(folder, 0, 1), ==, 0);
		g_assert_cmpint(chmod(folder, 0770), ==, 0);
		assert_refused(4096, FALSE, "others may put another file in its place");
		/* A group of one's own, which some systems make folders writable for. */
		g_assert_cmpint(chown(folder, 0, 0), ==, 0);
		new_file_free(new_file_create(path, 4096, FALSE, NULL));
	}
	g_assert_false(exists());
	tear_down();
}

/* A disk that is too small, a size that no file has, a folder that is not there: nothing is left.
 */
static void test_no_room(void)
{
	g_autofree char *absent = NULL;

	set_up();
	assert_refused(G_GUINT64_CONSTANT(15) << 40, TRUE, "there is no room for");
	g_assert_false(exists());
	assert_refused(G_MAXINT64, FALSE, "File too large");
	g_assert_false(exists());
	absent = path;
	path = g_build_filename(folder, "absent", "disk.img", NULL);
	assert_refused(4096, FALSE, "cannot make");
	g_free(path);
	path = g_steal_pointer(&absent);
	tear_down();
}

static void take_message(const char *text)
{
	g_assert_null(strchr(text, '\033'));
	g_assert_nonnull(strstr(text, "\\x1b[2J.img stays"));
	removal_fails = FALSE;
}

/* A name is what somebody chose who may want something of who reads it. */
static void test_name_on_terminal(void)
{
	GPrintFunc before = g_set_printerr_handler(take_message);
	g_autoptr(BackingFile) grown = NULL;
	NewFile *file;

	set_up();
	g_free(path);
	path = g_build_filename(folder, "\033[2J.img", NULL);
	file = new_file_create(path, 4096, FALSE, NULL);
	removal_fails = TRUE;
	new_file_remove(file);
	g_assert_false(removal_fails);
	new_file_free(file);
	g_assert_true(exists());

	grown = backing_file_new(path);
	grown->fd = open(path, O_RDONLY | O_CLOEXEC);
	grown->before = 512;
	grown->after = 4096;
	removal_fails = TRUE;
	backing_file_shrink_back(grown);
	g_assert_false(removal_fails);
	g_set_printerr_handler(before);
	g_assert_cmpint(g_unlink(path), ==, 0);
	tear_down();
}

/* --timeout is for this, too. */
static void test_too_late(void)
{
	set_up();
	g_assert_true(deadline_parse("--timeout", "0.001", NULL, NULL));
	g_usleep(2000);
	assert_refused(1 << 20, TRUE, "the time of --timeout, 0.001 s, is over");
	deadline_clear();
	g_assert_false(exists());
	tear_down();
}

/* Whether the child is still busy with it. */
static gboolean in_the_middle;

/* The child makes the file and raises the signal; @terminal is its standard error, or -1. */
static void interrupt(int signal, gboolean locked, int terminal)
{
	pid_t child = fork();
	int status;

	g_assert_cmpint(child, >=, 0);
	if (child == 0) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		struct sigaction standard = { .sa_handler = SIG_DFL };

		/* the test itself may be run by nohup */
		sigaction(signal, &standard, NULL);
		if (terminal >= 0)
			dup2(terminal, STDERR_FILENO);
		new_file_create(path, 1 << 20, !in_the_middle, NULL);
		if (in_the_middle) {
			Progress progress;

			progress_begin(&progress, 1024);
			progress_show(&progress, 512);
		}
		if (locked) /* by another opener, as a server is */
			fcntl(open(path, O_RDWR | O_CLOEXEC), F_OFD_SETLK, &lock);
		raise(signal);
		_exit(0);
	}
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	g_assert_true(WIFSIGNALED(status));
	g_assert_cmpint(WTERMSIG(status), ==, signal);
}

static void test_interrupted(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	set_up();
	for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
		interrupt(signals[i], FALSE, -1);
		g_assert_false(exists());
	}
	raised_by_open = SIGTERM;
	interrupt(SIGTERM, FALSE, -1);
	raised_by_open = 0;
	g_assert_false(exists());
	/* There is a device, or will be. */
	interrupt(SIGINT, TRUE, -1);
	g_assert_true(exists());
	g_assert_cmpint(g_unlink(path), ==, 0);
	tear_down();
}

/* What a terminal is shown; the master side. */
static char *read_terminal(const char *type)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	char text[4096] = "";
	struct pollfd readable = { .fd = master, .events = POLLIN };

	g_assert_cmpint(master, >=, 0);
	g_assert_cmpint(grantpt(master), ==, 0);
	g_assert_cmpint(unlockpt(master), ==, 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	g_setenv("TERM", type, TRUE);
	interrupt(SIGINT, FALSE, slave);
	if (poll(&readable, 1, 0) == 1 && readable.revents & POLLIN)
		g_assert_cmpint(read(master, text, sizeof(text) - 1), >=, 0);
	close(slave);
	close(master);
	return g_strdup(text);
}

/* A signal in the middle of it leaves an empty line to write on. */
static void test_bar_interrupted(void)
{
	g_autofree char *shown = NULL;

	set_up();
	in_the_middle = TRUE;
	shown = read_terminal("xterm");
	in_the_middle = FALSE;
	g_assert_true(g_str_has_suffix(shown, "  50%  512 of 1K\033[K\r\033[K"));
	tear_down();
}

static void test_bar(void)
{
	g_autofree char *shown = NULL, *dumb = NULL;

	set_up();
	shown = read_terminal("xterm");
	g_assert_cmpstr(shown, ==,
			"\r[..............................]   0%  0 of 1M\033[K\r\033[K");
	dumb = read_terminal("dumb");
	g_assert_cmpstr(dumb, ==, "");
	tear_down();
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/new-file/sparse", test_sparse);
	g_test_add_func("/client/new-file/replaced", test_replaced);
	g_test_add_func("/client/new-file/folder-replaced", test_folder_replaced);
	g_test_add_func("/client/new-file/others-write", test_others_write);
	g_test_add_func("/client/new-file/no-room", test_no_room);
	g_test_add_func("/client/new-file/name-on-terminal", test_name_on_terminal);
	g_test_add_func("/client/new-file/too-late", test_too_late);
	g_test_add_func("/client/new-file/interrupted", test_interrupted);
	g_test_add_func("/client/new-file/bar", test_bar);
	g_test_add_func("/client/new-file/bar-interrupted", test_bar_interrupted);
	return g_test_run();
}
