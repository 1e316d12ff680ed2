/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which device a word means (client/device-word.h). */
#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "device-word.h"
#include "errors.h"

#define ME  1000
#define BOB 1001

/* As GetManagedObjects answers: unsorted, and with an object that is no device. */
static GPtrArray *make_devices(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply = g_variant_parse(
		G_VARIANT_TYPE("(a{oa{sa{sv}}})"),
		"({'/org/ublk1/devices/7': {'org.ublk1.Device': {'Id': <uint32 7>, 'Name': "
		"<'work'>,"
		"   'OwnerUid': <uint32 1001>, 'BlockDevice': <'/dev/ublkb7'>}},"
		"  '/org/ublk1/devices/0': {'org.ublk1.Device': {'Id': <uint32 0>, 'Name': "
		"<'work'>,"
		"   'OwnerUid': <uint32 1000>, 'BlockDevice': <'/dev/ublkb0'>}},"
		"  '/org/ublk1/Manager': {'org.ublk1.Manager': {'Version': <'1'>}},"
		"  '/org/ublk1/devices/3': {'org.ublk1.Device': {'Id': <uint32 3>, 'Name': <'7'>,"
		"   'OwnerUid': <uint32 1000>, 'BlockDevice': <'/dev/ublkb3'>}},"
		"  '/org/ublk1/devices/4': {'org.ublk1.Device': {'Id': <uint32 4>, 'Name': <'iso'>,"
		"   'OwnerUid': <uint32 1001>, 'BlockDevice': <'/dev/ublkb4'>}},"
		"  '/org/ublk1/devices/5': {'org.ublk1.Device': {'Id': <uint32 5>, 'Name': <'5'>,"
		"   'OwnerUid': <uint32 1000>, 'BlockDevice': <'/dev/ublkb5'>}}},)",
		NULL, NULL, &error);

	g_assert_no_error(error);
	return device_list_from_reply(reply);
}

static void assert_word(guint32 uid, const char *word, int id)
{
	g_autoptr(GPtrArray) devices = make_devices();
	g_autoptr(GError) error = NULL;
	const Device *device = device_word_find(devices, word, uid, &error);

	g_test_message("“%s”", word);
	if (id < 0) {
		g_assert_null(device);
		g_assert_error(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND);
		return;
	}
	g_assert_no_error(error);
	g_assert_cmpuint(device->id, ==, id);
}

static void test_list(void)
{
	g_autoptr(GPtrArray) devices = make_devices();

	g_assert_cmpuint(devices->len, ==, 5);
	g_assert_cmpuint(((Device *)devices->pdata[0])->id, ==, 0);
	g_assert_cmpuint(((Device *)devices->pdata[4])->id, ==, 7);
}

static void test_numbers(void)
{
	assert_word(ME, "0", 0);
	assert_word(ME, "4", 4);
	assert_word(ME, "ublkb7", 7);
	assert_word(ME, "ublkc7", 7);
	assert_word(ME, "/dev/ublkb7", 7);
	assert_word(ME, "/dev/ublkc7", 7);
	assert_word(ME, "//dev/./ublkb7", 7);
	assert_word(ME, "1", -1);
	assert_word(ME, "-1", -1);
	assert_word(ME, "4294967296", -1);
	assert_word(ME, "/dev/ublkb", -1);
	assert_word(ME, "/dev/ublkb7x", -1);
	assert_word(ME, "/dev/ublkb99", -1);
	assert_word(ME, "/dev/null", -1);
	assert_word(ME, "/dev/sda", -1);
	assert_word(ME, "/tmp/ublkb7", -1);
	assert_word(ME, "", -1);
}

static void test_names(void)
{
	assert_word(ME, "work", 0);
	assert_word(BOB, "work", 7);
	assert_word(BOB, "iso", 4);
	/* A bare name never means somebody else's device, not even root's. */
	assert_word(ME, "iso", -1);
	assert_word(0, "iso", -1);
	assert_word(0, "1001/work", 7);
	assert_word(ME, "1001/work", 7);
	assert_word(ME, "1000/work", 0);
	assert_word(ME, "1002/work", -1);
	assert_word(ME, "/work", -1);
	assert_word(ME, "1001/", -1);
	assert_word(ME, "no-such-user-here/work", -1);
	/* Name and number of the same device. */
	assert_word(ME, "5", 5);
}

static void test_others_are_named(void)
{
	g_autoptr(GPtrArray) devices = make_devices();
	g_autoptr(GError) error = NULL;

	g_assert_null(device_word_find(devices, "iso", ME, &error));
	/* 1001/iso, or with the user's name where 1001 has one. */
	g_assert_nonnull(strstr(error->message, "/iso"));
}

static void test_ambiguous(void)
{
	g_autoptr(GPtrArray) devices = make_devices();
	g_autoptr(GError) error = NULL;

	/* Bob's number 7, or mine that is called "7": deleting the wrong one is not a guess to
	 * make. */
	g_assert_null(device_word_find(devices, "7", ME, &error));
	g_assert_error(error, CLIENT_ERROR, EXIT_CODE_USAGE);
	g_assert_nonnull(strstr(error->message, "/dev/ublkb7"));
	g_assert_nonnull(strstr(error->message, "/dev/ublkb3"));
	assert_word(BOB, "7", 7);
}

static void test_links(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-word-XXXXXX", NULL);
	g_autofree char *link = g_build_filename(folder, "link", NULL);
	g_autofree char *second = g_build_filename(folder, "second", NULL);
	g_autofree char *loop = g_build_filename(folder, "loop", NULL);
	g_autofree char *dangling = g_build_filename(folder, "dangling", NULL);

	/* The node need not be there: udev's link may be looked at from a container. */
	g_assert_no_errno(symlink("/dev/ublkb4", link));
	g_assert_no_errno(symlink("link", second));
	g_assert_no_errno(symlink("loop", loop));
	g_assert_no_errno(symlink("../elsewhere", dangling));
	assert_word(ME, link, 4);
	assert_word(ME, second, 4);
	assert_word(ME, loop, -1);
	assert_word(ME, dangling, -1);
	g_assert_no_errno(g_chdir(folder));
	assert_word(ME, "./second", 4);
	g_assert_no_errno(g_chdir("/"));
	/* udev's link by its name alone. */
	assert_word(ME, "/dev/disk/by-ublk/1001-work", 7);
	assert_word(ME, "/dev/disk/by-ublk/1000-work", 0);
	assert_word(ME, "/dev/disk/by-ublk/1002-work", -1);
	assert_word(ME, "/dev/disk/by-ublk/work", -1);
	g_unlink(link);
	g_unlink(second);
	g_unlink(loop);
	g_unlink(dangling);
	g_rmdir(folder);
}

/* Whose directory it is chooses no other device for who is in it: owner and name come first. */
static void test_directory_of_others(void)
{
	g_autofree char *folder = g_dir_make_tmp("ublk-word-XXXXXX", NULL);
	g_autofree char *owner = g_build_filename(folder, "1001", NULL);
	g_autofree char *work = g_build_filename(owner, "work", NULL);
	g_autofree char *other = g_build_filename(owner, "other", NULL);

	g_assert_no_errno(g_mkdir(owner, 0700));
	g_assert_no_errno(symlink("/dev/ublkb0", work));
	g_assert_no_errno(symlink("/dev/ublkb0", other));
	g_assert_no_errno(g_chdir(folder));
	assert_word(0, "1001/work", 7);
	assert_word(0, "1001/other", -1);
	assert_word(0, "./1001/work", 0);
	g_assert_no_errno(g_chdir(owner));
	assert_word(0, "../1001/work", 0);
	g_assert_no_errno(g_chdir("/"));
	g_unlink(work);
	g_unlink(other);
	g_rmdir(owner);
	g_rmdir(folder);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/device/list", test_list);
	g_test_add_func("/client/word/numbers", test_numbers);
	g_test_add_func("/client/word/names", test_names);
	g_test_add_func("/client/word/others-are-named", test_others_are_named);
	g_test_add_func("/client/word/ambiguous", test_ambiguous);
	g_test_add_func("/client/word/links", test_links);
	g_test_add_func("/client/word/directory-of-others", test_directory_of_others);
	return g_test_run();
}
