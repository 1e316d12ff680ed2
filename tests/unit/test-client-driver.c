/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why there is no driver: each case, in a folder that plays the machine (client/driver.h). */
#include <glib/gstdio.h>
#include <string.h>

#include "driver.h"

#define RELEASE "6.1.0-28-amd64"

static char *root;

static void assert_state(enum driver_state state, const char *text)
{
	g_autofree char *words = driver_describe(state, RELEASE);

	g_assert_cmpint(driver_get_state(root, RELEASE), ==, state);
	if (text)
		g_assert_nonnull(strstr(words, text));
	else
		g_assert_null(words);
}

static void make_folder(const char *name)
{
	g_autofree char *path = g_build_filename(root, name, NULL);

	g_assert_cmpint(g_mkdir_with_parents(path, 0700), ==, 0);
}

static void write_list(const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(root, "lib/modules/" RELEASE, name, NULL);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void test_states(void)
{
	g_autofree char *command = NULL;

	root = g_dir_make_tmp("ublk-driver-XXXXXX", NULL);
	assert_state(DRIVER_MODULES_GONE, "reboot");
	make_folder("lib/modules/" RELEASE);
	assert_state(DRIVER_NOT_BUILT, "was built without it");
	write_list("modules.dep", "kernel/drivers/block/null_blk/null_blk.ko.xz:\n");
	assert_state(DRIVER_NOT_BUILT, "linux-image-amd64");
	write_list("modules.dep",
		   "kernel/drivers/block/nbd.ko.xz:\nkernel/drivers/block/ublk_drv.ko.xz:\n");
	assert_state(DRIVER_NOT_LOADED, "modprobe ublk_drv");
	make_folder("sys/module/ublk_drv");
	assert_state(DRIVER_LOADED, NULL);
	command = g_strdup_printf("rm -r %s", root);
	g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
	g_free(root);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/driver/states", test_states);
	return g_test_run();
}
