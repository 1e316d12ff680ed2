/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A note in ublkd's state directory is believed only if nobody but root can have written it and if
 * it carries the cookie that the kernel keeps for the device: ublkd gives each device a random one
 * at ADD_DEV, so that a note that outlived its device says nothing about the next one.
 */
#include "owner-name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE_MAX      (64 * 1024)
#define COOKIE_DIGITS 16

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define cleanup_fd __attribute__((cleanup(close_fd)))

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int owner_name_check(const char *name, size_t len)
{
	if (len < 1 || len > OWNER_NAME_MAX || !is_alnum(name[0]))
		return -EINVAL;
	for (size_t i = 1; i < len; i++) {
		if (!is_alnum(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-')
			return -EINVAL;
	}
	return 0;
}

static int check_trusted(int fd, mode_t type, uid_t trusted)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != type)
		return -EINVAL;
	if (st.st_uid != trusted || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	return 0;
}

/* Open `name` in `dir` without following a link, and check who could have made it. */
static int open_trusted(int dir, const char *name, mode_t type, uid_t trusted)
{
	/* O_NONBLOCK: a FIFO in the note's place must not hold up a udev worker. */
	int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
		    (type == S_IFDIR ? O_DIRECTORY : 0);
	int fd = openat(dir, name, flags);
	int r;

	if (fd < 0)
		return -errno;
	r = check_trusted(fd, type, trusted);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* ublkd writes a note beside its place and renames it, so one read gets all of one note. */
static ssize_t read_note(int fd, char *buf, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, buf + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return (ssize_t)got;
		got += (size_t)n;
	}
	return -EINVAL;
}

/*
 * Find `KEY=value` on a line of its own. Returns the value (not terminated) and its length, or NULL
 * with *len = 0 when it is absent and with *len = 1 when it is there more than once.
 */
static const char *find_value(const char *note, size_t size, const char *key, size_t *len)
{
	const char *found = NULL;
	size_t key_len = strlen(key);

	*len = 0;
	for (const char *line = note, *end = note + size; line < end;) {
		const char *eol = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((eol ? eol : end) - line);

		if (n > key_len && line[key_len] == '=' && !memcmp(line, key, key_len)) {
			if (found) {
				*len = 1;
				return NULL;
			}
			found = line + key_len + 1;
			*len = n - key_len - 1;
		}
		line += n + 1;
	}
	return found;
}

static int parse_note(const char *note, size_t size, uint64_t cookie, char *name)
{
	char expected[COOKIE_DIGITS + 1];
	const char *value;
	size_t len;

	value = find_value(note, size, "COOKIE", &len);
	if (!value || len != COOKIE_DIGITS)
		return -EINVAL;
	snprintf(expected, sizeof(expected), "%016" PRIx64, cookie);
	if (memcmp(value, expected, COOKIE_DIGITS))
		return -ESTALE;

	value = find_value(note, size, "NAME", &len);
	if (!value)
		return len ? -EINVAL : -ENOENT;
	if (len == 0)
		return -ENOENT;
	if (owner_name_check(value, len) < 0)
		return -EINVAL;
	memcpy(name, value, len);
	name[len] = '\0';
	return 0;
}

int owner_name_read(const char *state_dir, uint32_t dev_id, uint64_t cookie, uid_t trusted,
		    char name[OWNER_NAME_MAX + 1])
{
	static char note[NOTE_MAX];
	cleanup_fd int state = -1;
	cleanup_fd int devices = -1;
	cleanup_fd int file = -1;
	char number[16];
	ssize_t n;

	/* The cookie is what makes a note trustworthy; other programs leave the field 0. */
	if (cookie == 0)
		return -ENOENT;
	state = open_trusted(AT_FDCWD, state_dir, S_IFDIR, trusted);
	if (state < 0)
		return state;
	devices = open_trusted(state, "devices", S_IFDIR, trusted);
	if (devices < 0)
		return devices;
	snprintf(number, sizeof(number), "%" PRIu32, dev_id);
	file = open_trusted(devices, number, S_IFREG, trusted);
	if (file < 0)
		return file;
	n = read_note(file, note, sizeof(note));
	if (n < 0)
		return (int)n;
	return parse_note(note, (size_t)n, cookie, name);
}
