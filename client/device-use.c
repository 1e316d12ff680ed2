/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-use.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"

/*
 * What has just been let go may be claimed a little longer: a namespace that ended is taken apart
 * in the background, and a killed server's descriptors live until its io_uring is cleaned up.
 */
#define CLAIM_TRIES    10
#define CLAIM_PAUSE_US (100 * 1000)
/* Of the child that asks: all tries, and some. */
#define CLAIM_WAIT_MS 2000

/* The device and its partitions, by their names: each has a folder in the device's in sysfs. */
static GPtrArray *list_disks(const char *root, guint32 id)
{
	GPtrArray *folders = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *name = g_strdup_printf("ublkb%u", id);
	g_autofree char *folder = g_strconcat(root, "/sys/block/", name, NULL);
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *entry;

	g_ptr_array_add(folders, g_strdup(folder));
	while (dir && (entry = g_dir_read_name(dir)))
		if (g_str_has_prefix(entry, name))
			g_ptr_array_add(folders, g_build_filename(folder, entry, NULL));
	return folders;
}

/* Where the disk with the number @number ("259:0") is mounted, or NULL. */
static char *find_mount(const char *mounts, const char *number)
{
	g_auto(GStrv) lines = g_strsplit(mounts, "\n", -1);

	for (char **line = lines; *line; line++) {
		g_auto(GStrv) fields = g_strsplit(*line, " ", 6);

		/* A blank in the path is \040: g_strcompress() knows octal numbers. */
		if (g_strv_length(fields) == 6 && strcmp(fields[2], number) == 0)
			return g_strcompress(fields[4]);
	}
	return NULL;
}

/* The fields behind the lone dash: the kind of the file system, its source, its options. */
static char **split_source(const char *line)
{
	const char *dash = strstr(line, " - ");

	return g_strsplit(dash ? dash + strlen(" - ") : "", " ", 3);
}

/*
 * Where a file system from /dev/@name is mounted by its own word, or NULL. Only good for a message:
 * with FUSE anybody can call a source what they like.
 */
static char *find_source(const char *mounts, const char *name)
{
	g_autofree char *path = g_strconcat("/dev/", name, NULL);
	g_auto(GStrv) lines = g_strsplit(mounts, "\n", -1);

	for (char **line = lines; *line; line++) {
		g_auto(GStrv) fields = g_strsplit(*line, " ", 6);
		g_auto(GStrv) source = split_source(*line);

		if (g_strv_length(fields) == 6 && g_strv_length(source) == 3 &&
		    !g_str_has_prefix(source[0], "fuse") && g_str_equal(source[1], path))
			return g_strcompress(fields[4]);
	}
	return NULL;
}

static gboolean is_swap(const char *swaps, const char *name)
{
	g_autofree char *path = g_strdup_printf("\n/dev/%s ", name);

	return strstr(swaps, path) != NULL;
}

static char *find_holder(const char *folder)
{
	g_autofree char *path = g_build_filename(folder, "holders", NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);

	return dir ? g_strdup(g_dir_read_name(dir)) : NULL;
}

static char *describe_mount(const char *name, const char *place)
{
	return g_strdup_printf("/dev/%s is mounted at %s: unmount it first", name, place);
}

static char *describe_disk(const char *folder, const char *mounts, const char *swaps)
{
	g_autofree char *number_path = g_build_filename(folder, "dev", NULL);
	g_autofree char *name = g_path_get_basename(folder);
	g_autofree char *holder = find_holder(folder);
	g_autofree char *number = NULL, *mount = NULL;

	if (g_file_get_contents(number_path, &number, NULL, NULL))
		mount = find_mount(mounts, g_strchomp(number));
	if (mount)
		return describe_mount(name, mount);
	if (is_swap(swaps, name))
		return g_strdup_printf("/dev/%s is used as swap: `swapoff /dev/%s` first", name,
				       name);
	if (holder)
		return g_strdup_printf("/dev/%s is used by the block device %s: remove that first",
				       name, holder);
	return NULL;
}

/* The errno of an exclusive open, which fails with EBUSY where the disk or a partition is claimed.
 */
static int try_claim(const char *path)
{
	int saved = EBUSY;

	for (int i = 0; i < CLAIM_TRIES && saved == EBUSY; i++) {
		int fd;

		if (i > 0)
			usleep(CLAIM_PAUSE_US);
		fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		saved = fd < 0 ? errno : 0;
		if (fd >= 0)
			close(fd);
	}
	return saved;
}

/* The child of is_claimed(): nothing but system calls. */
static G_NORETURN void report_claim(const char *path, int result)
{
	int saved, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int answer = STDERR_FILENO + 1;

	/* Should it hang, nobody shall wait for an end of what we have open: readers, the bus. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	dup2(result, answer);
	close_range(answer + 1, ~0U, 0);
	saved = try_claim(path);
	_exit(write(answer, &saved, sizeof(saved)) < 0);
}

/*
 * The open reads nothing of an ordinary user's disk, whose partitions the kernel does not look for.
 * But it waits behind whoever closes the disk last, who writes back what is dirty, and so may our
 * own close: for the server, which may hang, and then nothing interrupts it. So a child does it,
 * and stays behind where it takes too long; then, as where we may not open it, nobody knows.
 */
static gboolean is_claimed(guint32 id)
{
	g_autofree char *path = g_strdup_printf("/dev/ublkb%u", id);
	struct pollfd readable = { .events = POLLIN };
	int result[2], saved = 0;
	pid_t child;

	if (pipe2(result, O_CLOEXEC) < 0)
		return FALSE;
	child = fork();
	if (child == 0)
		report_claim(path, result[1]);
	close(result[1]);
	readable.fd = result[0];
	if (child > 0 &&
	    poll(&readable, 1, MIN(deadline_get_left_ms(CLAIM_WAIT_MS), CLAIM_WAIT_MS)) == 1) {
		if (read(result[0], &saved, sizeof(saved)) != sizeof(saved))
			saved = 0;
		waitpid(child, NULL, 0);
	}
	close(result[0]);
	return saved == EBUSY;
}

static char *read_text(const char *root, const char *name)
{
	g_autofree char *path = g_strconcat(root, name, NULL);
	char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

char *device_use_describe_claim(const char *root, guint32 id)
{
	g_autoptr(GPtrArray) folders = list_disks(root, id);
	g_autofree char *mounts = read_text(root, "/proc/self/mountinfo");

	for (guint i = 0; i < folders->len; i++) {
		g_autofree char *name = g_path_get_basename(folders->pdata[i]);
		g_autofree char *mount = find_source(mounts, name);

		if (mount)
			return describe_mount(name, mount);
	}
	return g_strdup_printf(
		"/dev/ublkb%u is claimed by something that is not seen here, a mount "
		"elsewhere (in a container?), another device or a program: end that "
		"first",
		id);
}

char *device_use_describe(const char *root, guint32 id)
{
	g_autoptr(GPtrArray) folders = list_disks(root, id);
	g_autofree char *mounts = read_text(root, "/proc/self/mountinfo");
	g_autofree char *swaps = read_text(root, "/proc/swaps");
	char *use = NULL;

	for (guint i = 0; i < folders->len && !use; i++)
		use = describe_disk(folders->pdata[i], mounts, swaps);
	if (!use && !*root && is_claimed(id))
		use = device_use_describe_claim(root, id);
	return use;
}
