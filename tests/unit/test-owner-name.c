/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The name that ublk-owner prints comes from a file, so: whose file, about which device, and what
 * may a name be?
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "owner-name.h"

#define COOKIE      0x00c0ffee12345678ULL
#define COOKIE_LINE "COOKIE=00c0ffee12345678\n"

static char state[] = "/tmp/test-owner-name-XXXXXX";
static char devices[64], note[80];

static void write_bytes(const char *text, size_t len)
{
	int fd = open(note, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert(fd >= 0);
	assert(write(fd, text, len) == (ssize_t)len);
	close(fd);
}

static int read_with(uint64_t cookie, uid_t trusted, char *name)
{
	return owner_name_read(state, 7, cookie, trusted, name);
}

/* What comes of a note with this text. */
static void expect(const char *text, int result, const char *expected)
{
	char name[OWNER_NAME_MAX + 1] = "";
	int r;

	write_bytes(text, strlen(text));
	r = read_with(COOKIE, getuid(), name);
	if (r != result || (r == 0 && strcmp(name, expected))) {
		fprintf(stderr, "note:\n%s\nresult %d (not %d), name '%s'\n", text, r, result,
			name);
		abort();
	}
}

static void test_rule_for_names(void)
{
	char longest[OWNER_NAME_MAX + 2];

	memset(longest, 'x', sizeof(longest));
	assert(owner_name_check(longest, OWNER_NAME_MAX) == 0);
	assert(owner_name_check(longest, OWNER_NAME_MAX + 1) == -EINVAL);
	assert(owner_name_check("", 0) == -EINVAL);
	assert(owner_name_check("a", 1) == 0);
	assert(owner_name_check("0.disk_of-alice", 15) == 0);
	for (int c = 0; c < 256; c++) {
		char first = (char)c, second[2] = { 'a', (char)c };
		int alnum =
			c &&
			strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", c);

		assert(owner_name_check(&first, 1) == (alnum ? 0 : -EINVAL));
		assert(owner_name_check(second, 2) ==
		       (alnum || (c && strchr("._-", c)) ? 0 : -EINVAL));
	}
}

static void test_note_is_read(void)
{
	expect(COOKIE_LINE "NAME=disk\n", 0, "disk");
	expect("OTHER=x\nNAME=disk\n" COOKIE_LINE "MORE=NAME=y\n", 0, "disk");
	/* the last line's end may be missing */
	expect(COOKIE_LINE "NAME=disk", 0, "disk");
	expect(COOKIE_LINE, -ENOENT, NULL);
	expect(COOKIE_LINE "NAME=\n", -ENOENT, NULL);
	expect(COOKIE_LINE "XNAME=disk\n", -ENOENT, NULL);
}

static void test_note_about_another_device_is_not_believed(void)
{
	char name[OWNER_NAME_MAX + 1];

	expect("COOKIE=00c0ffee12345679\nNAME=disk\n", -ESTALE, NULL);
	expect("COOKIE=00C0FFEE12345678\nNAME=disk\n", -ESTALE, NULL);
	expect("COOKIE=c0ffee12345678\nNAME=disk\n", -EINVAL, NULL);
	expect("COOKIE=00c0ffee123456789\nNAME=disk\n", -EINVAL, NULL);
	expect("COOKIE=\nNAME=disk\n", -EINVAL, NULL);
	expect("NAME=disk\n", -EINVAL, NULL);
	expect(COOKIE_LINE COOKIE_LINE "NAME=disk\n", -EINVAL, NULL);
	/* a device of another program's, whose field is 0 */
	expect("COOKIE=0000000000000000\nNAME=disk\n", -ESTALE, NULL);
	assert(read_with(0, getuid(), name) == -ENOENT);
}

static void test_name_cannot_be_more_than_a_name(void)
{
	static const char with_nul[] = COOKIE_LINE "NAME=di\0sk\n";
	char name[OWNER_NAME_MAX + 1];

	expect(COOKIE_LINE "NAME=a\nNAME=b\n", -EINVAL, NULL);
	expect(COOKIE_LINE "NAME=a/../b\n", -EINVAL, NULL);
	expect(COOKIE_LINE "NAME=../b\n", -EINVAL, NULL);
	expect(COOKIE_LINE "NAME=a b\n", -EINVAL, NULL);
	expect(COOKIE_LINE "NAME=a\r\n", -EINVAL, NULL);
	expect(COOKIE_LINE "NAME=\"a\"\n", -EINVAL, NULL);
	expect(COOKIE_LINE "NAME=$env{PATH}\n", -EINVAL, NULL);
	expect(COOKIE_LINE "NAME=\xc3\xa4\n", -EINVAL, NULL);
	write_bytes(with_nul, sizeof(with_nul) - 1);
	assert(read_with(COOKIE, getuid(), name) == -EINVAL);
}

static void test_others_notes_are_not_believed(void)
{
	char name[OWNER_NAME_MAX + 1], elsewhere[80];

	expect(COOKIE_LINE "NAME=disk\n", 0, "disk");
	assert(read_with(COOKIE, getuid() + 1, name) == -EPERM);

	assert(chmod(note, 0620) == 0);
	assert(read_with(COOKIE, getuid(), name) == -EPERM);
	assert(chmod(note, 0602) == 0);
	assert(read_with(COOKIE, getuid(), name) == -EPERM);
	assert(chmod(note, 0644) == 0);
	assert(read_with(COOKIE, getuid(), name) == 0);

	assert(chmod(devices, 0770) == 0);
	assert(read_with(COOKIE, getuid(), name) == -EPERM);
	assert(chmod(devices, 0700) == 0);
	assert(chmod(state, 01777) == 0);
	assert(read_with(COOKIE, getuid(), name) == -EPERM);
	assert(chmod(state, 0755) == 0);
	assert(read_with(COOKIE, getuid(), name) == 0);

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", state);
	assert(rename(note, elsewhere) == 0);
	assert(symlink(elsewhere, note) == 0);
	assert(read_with(COOKIE, getuid(), name) == -ELOOP);
	assert(unlink(note) == 0);
	/* must not wait for a writer */
	assert(mkfifo(note, 0600) == 0);
	assert(read_with(COOKIE, getuid(), name) == -EINVAL);
	assert(unlink(note) == 0);
	assert(mkdir(note, 0700) == 0);
	assert(read_with(COOKIE, getuid(), name) == -EINVAL);
	assert(rmdir(note) == 0);
	assert(read_with(COOKIE, getuid(), name) == -ENOENT);
	assert(unlink(elsewhere) == 0);
}

static void test_huge_note_is_refused(void)
{
	char name[OWNER_NAME_MAX + 1];

	expect(COOKIE_LINE "NAME=disk\n", 0, "disk");
	assert(truncate(note, 1 << 20) == 0);
	assert(read_with(COOKIE, getuid(), name) == -EINVAL);
}

int main(void)
{
	assert(mkdtemp(state));
	assert(chmod(state, 0755) == 0);
	snprintf(devices, sizeof(devices), "%s/devices", state);
	snprintf(note, sizeof(note), "%s/7", devices);
	assert(mkdir(devices, 0700) == 0);

	test_rule_for_names();
	test_note_is_read();
	test_note_about_another_device_is_not_believed();
	test_name_cannot_be_more_than_a_name();
	test_others_notes_are_not_believed();
	test_huge_note_is_refused();

	unlink(note);
	rmdir(devices);
	rmdir(state);
	return 0;
}
