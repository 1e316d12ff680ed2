/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seize.h"

#include <errno.h>

#include "config.h"
#include "daemon.h"
#include "error.h"
#include "journal.h"
#include "kernel.h"
#include "units.h"

typedef struct {
	Device *device;
	gboolean helped; /* ublk-owner has run */
	SeizeDone done;
	gpointer user_data;
} Seizure;

static void end(Seizure *seizure, const GError *error)
{
	seizure->device->as_self = !error;
	seizure->done(error, seizure->user_data);
	device_unref(seizure->device);
	g_free(seizure);
}

static void ask(Seizure *seizure);

static void on_helped(const GError *error, gpointer user_data)
{
	Seizure *seizure = user_data;

	/* whatever came of it, the kernel's answer is what counts */
	if (error)
		g_warning("%s", error->message);
	ask(seizure);
}

static void get_help(Seizure *seizure)
{
	const Device *device = seizure->device;
	g_autofree char *node = g_strdup_printf("ublkc%u", device->id);
	g_autofree char *cookie = g_strdup_printf("%016" G_GINT64_MODIFIER "x", device->cookie);
	g_autofree char *unit = g_strdup_printf("ublk-seize-%u-%s.service", device->id, cookie);
	const char *argv[] = { UBLK_OWNER_PATH, "seize", node, cookie, NULL };

	journal_tell(JOURNAL_SEIZED, &(JournalAbout){ .device = device },
		     "device %u (\"%s\") of user %u: its owner has no right to its node; taking it",
		     device->id, device->name, device->uid);
	seizure->helped = TRUE;
	units_run(unit, argv, settings()->udev_ms, on_helped, seizure);
}

static void on_info(int res, const void *buf, size_t len, void *user_data)
{
	Seizure *seizure = user_data;
	g_autoptr(GError) error = NULL;
	uid_t owner;

	if (res == -EACCES && !seizure->helped) {
		get_help(seizure);
		return;
	}
	if (res == -EPERM && device_get_node_owner(seizure->device, &owner) && owner == 0)
		/* and not, say, a device policy for the unit that keeps ublkd from every node */
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
				    "device %u is a privileged one by now", seizure->device->id);
	else if (res < 0)
		error = error_from_kernel(res, "let ublkd at the device");
	else if (!device_matches(seizure->device, buf, len))
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
				    "device %u is another one by now", seizure->device->id);
	end(seizure, error);
}

static void ask(Seizure *seizure)
{
	struct ublksrv_ctrl_dev_info info = { 0 };
	struct ublk_control_cmd cmd =
		device_make_command(seizure->device, UBLK_U_CMD_GET_DEV_INFO2);
	g_autoptr(GError) error = NULL;

	cmd.buf = &info;
	cmd.len = sizeof(info);
	cmd.personality = 0;
	if (!kernel_command(&cmd, NULL, on_info, seizure, &error))
		end(seizure, error);
}

static gboolean begin(gpointer user_data)
{
	Seizure *seizure = user_data;
	g_autoptr(GError) error = NULL;

	/* the helper would refuse that too; but not so that one could tell why */
	if (device_is_anothers(seizure->device)) {
		error = g_error_new(UBLK_ERROR, UBLK_ERROR_NOT_FOUND,
				    "device %u is another user's by now", seizure->device->id);
		end(seizure, error);
	} else {
		ask(seizure);
	}
	return G_SOURCE_REMOVE;
}

void seize_device(Device *device, SeizeDone done, gpointer user_data)
{
	Seizure *seizure = g_new0(Seizure, 1);

	seizure->device = device_ref(device);
	seizure->done = done;
	seizure->user_data = user_data;
	g_idle_add(begin, seizure);
}
