/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the doctor finds on machines that a folder plays (client/doctor.h). */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "doctor.h"
#include "errors.h"

#define RELEASE "6.12.1"

static char *root;

static void set_up(void)
{
	root = g_dir_make_tmp("ublk-doctor-XXXXXX", NULL);
}

static void tear_down(void)
{
	g_autofree char *command = g_strdup_printf("rm -r %s", root);

	g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
	g_free(root);
}

static char *make_path(const char *name)
{
	char *path = g_build_filename(root, name, NULL);
	g_autofree char *folder = g_path_get_dirname(path);

	g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
	return path;
}

static void write_file(const char *name, const char *text)
{
	g_autofree char *path = make_path(name);

	g_assert_true(
		g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));
}

static void remove_file(const char *name)
{
	g_autofree char *path = g_build_filename(root, name, NULL);

	g_assert_cmpint(g_unlink(path), ==, 0);
}

/* One finding, of this level, with these words; or as many as are told. */
static void assert_found(const Doctor *doctor, enum finding_level level, const char *text,
			 const char *remedy)
{
	for (guint i = 0; i < doctor->findings->len; i++) {
		const Finding *finding = doctor->findings->pdata[i];

		g_test_message("%d %s: %s (%s)", finding->level, finding->subject, finding->text,
			       finding->remedy);
		if (finding->level == level && strstr(finding->text, text) &&
		    g_strcmp0(finding->remedy, remedy) == 0)
			return;
	}
	g_error("not found: %s (%s)", text, remedy);
}

static void assert_check(void (*check)(Doctor *), gboolean contained, enum finding_level level,
			 const char *text, const char *remedy)
{
	g_autoptr(Doctor) doctor = doctor_new(root, RELEASE, contained);

	check(doctor);
	g_assert_cmpuint(doctor->findings->len, ==, 1);
	assert_found(doctor, level, text, remedy);
}

static void test_driver(void)
{
	set_up();
	write_file("lib/modules/" RELEASE "/modules.dep", "kernel/drivers/block/ublk_drv.ko.xz:\n");
	assert_check(doctor_check_driver, FALSE, FINDING_NOTE, "as a module", NULL);
	assert_check(doctor_check_driver, TRUE, FINDING_NOTE, "only its host knows", NULL);
	write_file("sys/module/ublk_drv/x", "");
	assert_check(doctor_check_driver, TRUE, FINDING_GOOD, "it is loaded", NULL);
	tear_down();
}

static void test_uring(void)
{
	set_up();
	/* Kernels before 6.6 have no such sysctl. */
	assert_check(doctor_check_uring, FALSE, FINDING_GOOD, "may be used", NULL);
	write_file("proc/sys/kernel/io_uring_disabled", "0\n");
	assert_check(doctor_check_uring, FALSE, FINDING_GOOD, "may be used", NULL);
	write_file("proc/sys/kernel/io_uring_disabled", "2\n");
	assert_check(doctor_check_uring, FALSE, FINDING_BAD, "forbids io_uring to everybody",
		     "sysctl -w kernel.io_uring_disabled=0");
	write_file("proc/sys/kernel/io_uring_disabled", "1\n");
	write_file("proc/sys/kernel/io_uring_group", "4711\n");
	assert_check(doctor_check_uring, FALSE, FINDING_NOTE, "group 4711 alone", NULL);
	tear_down();
}

static void test_udev(void)
{
	set_up();
	assert_check(doctor_check_udev, FALSE, FINDING_BAD, UBLK_UDEV_RULES " is not there",
		     "apt install --reinstall ublkd");
	write_file(UBLK_UDEV_RULES, "");
	assert_check(doctor_check_udev, FALSE, FINDING_BAD, UBLK_OWNER_PATH " is not there",
		     "apt install --reinstall ublkd");
	write_file(UBLK_OWNER_PATH, "");
	assert_check(doctor_check_udev, FALSE, FINDING_BAD, "does not run",
		     "systemctl start systemd-udevd");
	write_file("run/udev/control", "");
	assert_check(doctor_check_udev, FALSE, FINDING_GOOD, "has the rules", NULL);
	write_file("etc/udev/rules.d/59-ublk.rules", "");
	assert_check(doctor_check_udev, FALSE, FINDING_BAD, "/etc/udev/rules.d/59-ublk.rules is in",
		     "remove it, and `udevadm control --reload`");
	tear_down();
}

static Doctor *find_leftovers(const guint32 *known, guint n_known)
{
	Doctor *doctor = doctor_new(root, RELEASE, FALSE);

	doctor->known = g_hash_table_new(NULL, NULL);
	for (guint i = 0; i < n_known; i++)
		g_hash_table_add(doctor->known, GUINT_TO_POINTER(known[i]));
	doctor_check_leftovers(doctor);
	return doctor;
}

/* The first finding, and no command of --clean. */
static void assert_uncleaned(const Doctor *doctor, const char *text, const char *remedy)
{
	const Finding *finding = doctor->findings->pdata[0];

	g_assert_cmpint(finding->level, ==, FINDING_BAD);
	g_assert_nonnull(strstr(finding->text, text));
	g_assert_nonnull(strstr(finding->remedy, remedy));
	g_assert_false(finding->cleans);
}

static void test_leftovers(void)
{
	const guint32 all[] = { 3, 7 };
	g_autofree char *node = NULL, *link = NULL;

	set_up();
	write_file("sys/class/ublk-char/ublkc3", "");
	write_file("sys/class/ublk-char/ublkc7", "");
	write_file("dev/ublkc3", "");
	write_file("dev/ublkc7", "");
	write_file("dev/ublkb3", "");
	write_file("run/ublkd/devices/3", "");
	link = make_path("dev/disk/by-ublk/1000-work");
	g_assert_cmpint(symlink("../../ublkb3", link), ==, 0);
	{
		g_autoptr(Doctor) doctor = find_leftovers(all, 2);

		g_assert_cmpuint(doctor->findings->len, ==, 1);
		assert_found(doctor, FINDING_GOOD, "there are none", NULL);
	}
	/* 7 is in the kernel alone. As root's, it would be another program's. */
	node = make_path("dev/ublkc7");
	if (geteuid() == 0)
		g_assert_cmpint(chown(node, 1000, 1000), ==, 0);
	{
		g_autoptr(Doctor) doctor = find_leftovers(all, 1);

		g_assert_cmpuint(doctor->findings->len, ==, 1);
		assert_found(doctor, FINDING_BAD, "ublkd knows nothing of it",
			     UBLK_OWNER_PATH " delete ublkc7");
	}
	/* It may be somebody's, by what else there is of it: then a person has to say so. */
	write_file("sys/block/ublkb7/dev", "259:7\n");
	{
		g_autoptr(Doctor) doctor = find_leftovers(all, 1);

		g_assert_cmpuint(doctor->findings->len, ==, 1);
		assert_uncleaned(doctor, "which is served",
				 UBLK_OWNER_PATH " delete ublkc7 --force");
	}
	write_file("proc/self/mountinfo", "90 24 259:7 / /mnt rw - ext4 /dev/ublkb7 rw\n");
	{
		g_autoptr(Doctor) doctor = find_leftovers(all, 1);

		g_assert_cmpuint(doctor->findings->len, ==, 1);
		assert_uncleaned(doctor, "which is in use", "/dev/ublkb7 is mounted at /mnt");
	}
	write_file("run/ublkd/devices/7", "");
	{
		g_autoptr(Doctor) doctor = find_leftovers(all, 1);

		g_assert_cmpuint(doctor->findings->len, ==, 1);
		assert_uncleaned(doctor, "has not taken over device 7", "journalctl -u ublkd");
	}
	write_file("run/ublkd/devices/9", "");
	remove_file("dev/ublkb3");
	{
		g_autoptr(Doctor) doctor = find_leftovers(all, 2);
		g_autofree char *remedy = g_strdup_printf("rm -- '%s'", link);

		g_assert_cmpuint(doctor->findings->len, ==, 2);
		assert_found(doctor, FINDING_BAD, "devices/9 is of a device that is no more",
			     "systemctl restart ublkd");
		assert_found(doctor, FINDING_BAD, "leads to no device", remedy);
	}
	/* Nobody said what ublkd has: then nothing is called an orphan. */
	{
		g_autoptr(Doctor) doctor = doctor_new(root, RELEASE, FALSE);

		doctor_check_leftovers(doctor);
		g_assert_cmpuint(doctor->findings->len, ==, 1);
		assert_found(doctor, FINDING_BAD, "leads to no device",
			     ((Finding *)doctor->findings->pdata[0])->remedy);
	}
	/* … nor that there are none. */
	g_assert_cmpint(g_unlink(link), ==, 0);
	{
		g_autoptr(Doctor) doctor = doctor_new(root, RELEASE, FALSE);

		doctor_check_leftovers(doctor);
		g_assert_cmpuint(doctor->findings->len, ==, 0);
	}
	tear_down();
}

/* @stays: of the links, one that leads to a device by the time that --clean comes to it. */
static void test_clean(void)
{
	g_autofree char *goes = NULL, *stays = NULL;
	g_autoptr(Doctor) doctor = NULL;
	g_autoptr(GError) error = NULL;

	set_up();
	goes = make_path("dev/disk/by-ublk/1000-goes");
	stays = make_path("dev/disk/by-ublk/1000-stays");
	g_assert_cmpint(symlink("../../ublkb3", goes), ==, 0);
	g_assert_cmpint(symlink("../../ublkb7", stays), ==, 0);
	doctor = doctor_new(root, RELEASE, FALSE);
	doctor_check_leftovers(doctor);
	g_assert_cmpuint(doctor->findings->len, ==, 2);
	write_file("dev/ublkb7", "");
	if (geteuid() == 0) {
		g_assert_true(doctor_clean(doctor, &error));
		g_assert_no_error(error);
	} else {
		g_assert_false(doctor_clean(doctor, &error));
		g_assert_error(error, CLIENT_ERROR, EXIT_CODE_NOT_AUTHORIZED);
	}
	g_assert_true(g_file_test(stays, G_FILE_TEST_IS_SYMLINK));
	g_assert_true(g_file_test(goes, G_FILE_TEST_IS_SYMLINK) == (geteuid() != 0));
	tear_down();
}

/* A command that fails is told, and what it prints comes nowhere between the findings. */
static void test_clean_fails(void)
{
	g_autofree char *link = NULL, *rm = NULL, *bin = NULL, *path = NULL;

	if (geteuid() != 0) {
		g_test_skip("leftovers are root's to remove");
		return;
	}
	if (!g_test_subprocess()) {
		g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
		g_test_trap_assert_passed();
		g_test_trap_assert_stderr("*rm -- *rm failed: *5*");
		g_test_trap_assert_stdout_unmatched("*from rm*");
		return;
	}
	set_up();
	link = make_path("dev/disk/by-ublk/1000-gone");
	g_assert_cmpint(symlink("../../ublkb3", link), ==, 0);
	write_file("bin/rm", "#!/bin/sh\necho from rm\nexit 5\n");
	rm = make_path("bin/rm");
	bin = g_path_get_dirname(rm);
	path = g_strconcat(bin, ":", g_getenv("PATH"), NULL);
	g_setenv("PATH", path, TRUE);
	{
		g_autoptr(Doctor) doctor = doctor_new(root, RELEASE, FALSE);

		doctor_check_leftovers(doctor);
		g_assert_true(doctor_clean(doctor, NULL));
	}
	g_assert_cmpint(g_unlink(rm), ==, 0);
	tear_down();
}

/* A path may have any bytes, JSON may not. */
static void test_json(void)
{
	g_autoptr(Doctor) doctor = doctor_new("", RELEASE, FALSE);
	g_autoptr(GVariant) json = NULL;
	g_autofree char *text = NULL;

	doctor_add(doctor, FINDING_BAD, "leftover", "mounted at /mnt/gr\xfcn", "at /mnt/\xff");
	doctor_add(doctor, FINDING_GOOD, "driver", NULL, "it is there");
	json = g_variant_ref_sink(doctor_build_json(doctor));
	text = g_variant_print(json, FALSE);
	g_assert_cmpstr(
		text, ==,
		"{'version': <uint32 1>, 'findings': <<["
		"{'subject': <'leftover'>, 'level': <'bad'>, 'text': <'at /mnt/\xef\xbf\xbd'>, "
		"'remedy': <@ms 'mounted at /mnt/gr\xef\xbf\xbdn'>}, "
		"{'subject': <'driver'>, 'level': <'good'>, 'text': <'it is there'>, "
		"'remedy': <@ms nothing>}]>>}");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/doctor/driver", test_driver);
	g_test_add_func("/client/doctor/uring", test_uring);
	g_test_add_func("/client/doctor/udev", test_udev);
	g_test_add_func("/client/doctor/leftovers", test_leftovers);
	g_test_add_func("/client/doctor/clean", test_clean);
	g_test_add_func("/client/doctor/clean-fails", test_clean_fails);
	g_test_add_func("/client/doctor/json", test_json);
	return g_test_run();
}
