/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device-use.h"

#include <string.h>

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

static char *describe_disk(const char *folder, const char *mounts, const char *swaps)
{
	g_autofree char *number_path = g_build_filename(folder, "dev", NULL);
	g_autofree char *name = g_path_get_basename(folder);
	g_autofree char *holder = find_holder(folder);
	g_autofree char *number = NULL, *mount = NULL;

	if (g_file_get_contents(number_path, &number, NULL, NULL))
		mount = find_mount(mounts, g_strchomp(number));
	if (mount)
		return g_strdup_printf("/dev/%s is mounted at %s: unmount it first", name, mount);
	if (is_swap(swaps, name))
		return g_strdup_printf("/dev/%s is used as swap: `swapoff /dev/%s` first", name,
				       name);
	if (holder)
		return g_strdup_printf("/dev/%s is used by the block device %s: remove that first",
				       name, holder);
	return NULL;
}

char *device_use_describe(const char *root, guint32 id)
{
	g_autoptr(GPtrArray) folders = list_disks(root, id);
	g_autofree char *mounts_path = g_strconcat(root, "/proc/self/mountinfo", NULL);
	g_autofree char *swaps_path = g_strconcat(root, "/proc/swaps", NULL);
	g_autofree char *mounts = NULL, *swaps = NULL;
	char *use = NULL;

	g_file_get_contents(mounts_path, &mounts, NULL, NULL);
	g_file_get_contents(swaps_path, &swaps, NULL, NULL);
	for (guint i = 0; i < folders->len && !use; i++)
		use = describe_disk(folders->pdata[i], mounts ? mounts : "", swaps ? swaps : "");
	return use;
}
