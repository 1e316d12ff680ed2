/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/ublkd/ublkd.conf. Whatever is in it, every setting, of every user, is in its range. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/settings.h"
#include "fuzz-glib.h"

static void check_user(const UserLimits *limits)
{
	FUZZ_ASSERT(limits->devices_per_user <= 1 << 20);
	FUZZ_ASSERT(limits->queue_memory_per_user <= G_MAXINT64 &&
		    limits->shared_memory_per_user <= G_MAXINT64);
	FUZZ_ASSERT(limits->shared_buffers_per_user <= 256);
	FUZZ_ASSERT(limits->creations_per_minute <= 1 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *path = NULL;
	g_autoptr(GVariant) limits = NULL;
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
	gid_t root = 0;
	UserLimits of_root;
	Settings settings;
	int fd = memfd_create("ublkd.conf", MFD_CLOEXEC);

	fuzz_init();
	FUZZ_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	path = g_strdup_printf("/proc/self/fd/%d", fd);
	settings_load(path, &settings, problems);
	close(fd);
	for (guint i = 0; i < problems->len; i++)
		FUZZ_ASSERT(g_str_has_prefix(g_ptr_array_index(problems, i), path));
	g_array_append_val(groups, root);
	of_root = settings_get_limits(&settings, 0, groups);
	check_user(&settings.user);
	check_user(&of_root);
	FUZZ_ASSERT(settings.devices_total <= 1 << 20);
	FUZZ_ASSERT(settings.prompts_per_sender <= 1000 && settings.prompts_per_user <= 1000 &&
		    settings.prompts_total <= 1000);
	FUZZ_ASSERT(settings.created_ms >= 1000 && settings.created_ms <= 86400000);
	FUZZ_ASSERT(settings.start_ms >= 1000 && settings.start_ms <= 600000);
	FUZZ_ASSERT(settings.stop_ms >= 1000 && settings.stop_ms <= 600000);
	FUZZ_ASSERT(settings.udev_ms >= 1000 && settings.udev_ms <= 600000);
	limits = g_variant_ref_sink(settings_describe(&settings));
	FUZZ_ASSERT(g_variant_is_of_type(limits, G_VARIANT_TYPE_VARDICT));
	settings_clear(&settings);
	return 0;
}
