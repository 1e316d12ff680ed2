/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/ublkd/ublkd.conf. Whatever is in it, every setting is in its range. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/settings.h"
#include "fuzz-glib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *path = NULL;
	g_autoptr(GVariant) limits = NULL;
	Settings settings;
	int fd = memfd_create("ublkd.conf", MFD_CLOEXEC);

	fuzz_init();
	FUZZ_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	path = g_strdup_printf("/proc/self/fd/%d", fd);
	settings_load(path, &settings);
	close(fd);
	FUZZ_ASSERT(settings.devices_per_user <= 1 << 20 && settings.devices_total <= 1 << 20);
	FUZZ_ASSERT(settings.queue_memory_per_user <= G_MAXINT64 &&
		    settings.shared_memory_per_user <= G_MAXINT64);
	FUZZ_ASSERT(settings.shared_buffers_per_user <= 256);
	FUZZ_ASSERT(settings.prompts_per_sender <= 1000 && settings.prompts_per_user <= 1000 &&
		    settings.prompts_total <= 1000);
	FUZZ_ASSERT(settings.created_ms >= 1000 && settings.created_ms <= 86400000);
	FUZZ_ASSERT(settings.start_ms >= 1000 && settings.start_ms <= 600000);
	FUZZ_ASSERT(settings.stop_ms >= 1000 && settings.stop_ms <= 600000);
	FUZZ_ASSERT(settings.udev_ms >= 1000 && settings.udev_ms <= 600000);
	limits = g_variant_ref_sink(settings_describe(&settings));
	FUZZ_ASSERT(g_variant_is_of_type(limits, G_VARIANT_TYPE_VARDICT));
	return 0;
}
