/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver.h"

#include <string.h>
#include <sys/utsname.h>

#define MODULE "/ublk_drv.ko"

static char *build_path(const char *root, const char *folder, const char *release, const char *name)
{
	return g_strconcat(root, folder, "/", release, name, NULL);
}

/* Whether depmod's list names the module: its file may be compressed. */
static gboolean lists_module(const char *root, const char *release, const char *list)
{
	g_autofree char *path = build_path(root, "/lib/modules", release, list);
	g_autofree char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) && strstr(text, MODULE);
}

enum driver_state driver_get_state(const char *root, const char *release)
{
	g_autofree char *loaded = g_strconcat(root, "/sys/module/ublk_drv", NULL);
	g_autofree char *modules = build_path(root, "/lib/modules", release, "");

	if (g_file_test(loaded, G_FILE_TEST_EXISTS) ||
	    lists_module(root, release, "/modules.builtin"))
		return DRIVER_LOADED;
	if (lists_module(root, release, "/modules.dep"))
		return DRIVER_NOT_LOADED;
	if (!g_file_test(modules, G_FILE_TEST_IS_DIR))
		return DRIVER_MODULES_GONE;
	return DRIVER_NOT_BUILT;
}

char *driver_describe(enum driver_state state, const char *release)
{
	switch (state) {
	case DRIVER_LOADED:
		return NULL;
	case DRIVER_NOT_LOADED:
		return g_strdup("an administrator loads it with `modprobe ublk_drv`");
	case DRIVER_NOT_BUILT:
		return g_strdup_printf(
			"Linux %s was built without it: boot one that has "
			"it, as Debian 13's packages linux-image-amd64 and "
			"linux-image-cloud-amd64, or for Debian 12 those of bookworm-backports",
			release);
	case DRIVER_MODULES_GONE:
		return g_strdup_printf(
			"there are no modules of the running kernel, /lib/modules/%s: "
			"reboot, if the kernel was upgraded",
			release);
	}
	g_assert_not_reached();
}

char *driver_describe_here(void)
{
	struct utsname kernel;

	if (uname(&kernel) < 0)
		return NULL;
	return driver_describe(driver_get_state("", kernel.release), kernel.release);
}
