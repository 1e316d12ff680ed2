/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What there is though nobody needs it any more: devices that ublkd does not know, its files
 * without a device, links that lead nowhere, units that serve nothing. All of them are an
 * administrator's to remove; what ublkd knows as a user's own is that user's, by `del`.
 */
#include "doctor.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "deadline.h"
#include "device.h"
#include "device-use.h"
#include "output.h"
#include "parse.h"

#define CHAR_CLASS "/sys/class/ublk-char"
#define STATE      "/run/ublkd/devices"
#define LINKS      "/dev/disk/by-ublk"

static gboolean is_known(const Doctor *doctor, guint32 id)
{
	return doctor->known && g_hash_table_contains(doctor->known, GUINT_TO_POINTER(id));
}

static gboolean is_in_kernel(const Doctor *doctor, guint32 id)
{
	g_autofree char *path = g_strdup_printf("%s" CHAR_CLASS "/ublkc%u", doctor->root, id);

	return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* Of the node, which udev gives to the device's owner. */
static gboolean get_owner(const Doctor *doctor, guint32 id, uid_t *owner)
{
	g_autofree char *node = g_strdup_printf("%s/dev/ublkc%u", doctor->root, id);
	struct stat st;

	if (stat(node, &st) < 0)
		return FALSE;
	*owner = st.st_uid;
	return TRUE;
}

/* ublkd, started anew, takes it over by this file; it tries for as long as that takes. */
static gboolean has_state(const Doctor *doctor, guint32 id)
{
	g_autofree char *path = g_strdup_printf("%s" STATE "/%u", doctor->root, id);

	return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* There is a disk only where somebody serves it. */
static gboolean is_served(const Doctor *doctor, guint32 id)
{
	g_autofree char *path = g_strdup_printf("%s/sys/block/ublkb%u", doctor->root, id);

	return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* Only what is of no use to anybody may go without a person's word. */
static void add_orphan(Doctor *doctor, guint32 id, const char *user)
{
	g_autofree char *command = g_strdup_printf("%s delete ublkc%u", UBLK_OWNER_PATH, id);
	g_autofree char *forced = g_strdup_printf("ask %s; if nobody needs it: %s delete ublkc%u "
						  "--force",
						  user, UBLK_OWNER_PATH, id);
	g_autofree char *use = device_use_describe(doctor->root, id);

	if (has_state(doctor, id))
		doctor_add(doctor, FINDING_BAD, "leftover", "journalctl -u ublkd",
			   "ublkd has not taken over device %u of user %s yet", id, user);
	else if (use || is_served(doctor, id))
		doctor_add(doctor, FINDING_BAD, "leftover", use ? use : forced,
			   "the kernel has device %u of user %s, which is %s, and ublkd knows "
			   "nothing of it: it may be another program's",
			   id, user, use ? "in use" : "served");
	else
		doctor_add(doctor, FINDING_BAD, "leftover", command,
			   "the kernel has device %u of user %s, and ublkd knows nothing of it", id,
			   user)
			->cleans = TRUE;
}

/* @ids: of the kernel's devices, from before ublkd was asked: a newer one is no orphan. */
static void check_devices(Doctor *doctor, GArray *ids)
{
	for (guint i = 0; i < ids->len; i++) {
		guint32 id = g_array_index(ids, guint32, i);
		g_autofree char *user = NULL;
		uid_t owner;

		/* Root's are other programs', and one that has gone meanwhile is in order. */
		if (is_known(doctor, id) || !is_in_kernel(doctor, id) ||
		    !get_owner(doctor, id, &owner) || owner == 0)
			continue;
		user = output_format_user(owner);
		add_orphan(doctor, id, user);
	}
}

/* The file's name is the device's number; what is in it only root may see. */
static void check_state(Doctor *doctor)
{
	g_autofree char *folder = doctor_get_path(doctor, STATE);
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;
	guint32 id;

	while (dir && (name = g_dir_read_name(dir)))
		if (parse_u32(name, &id) && !is_known(doctor, id) && !is_in_kernel(doctor, id)) {
			doctor_add(doctor, FINDING_BAD, "leftover", "systemctl restart ublkd",
				   STATE "/%u is of a device that is no more", id)
				->cleans = TRUE;
			return; /* a restart removes all of them */
		}
}

static void check_links(Doctor *doctor)
{
	g_autofree char *folder = doctor_get_path(doctor, LINKS);
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);
		g_autofree char *quoted = g_shell_quote(path);
		g_autofree char *remedy = g_strconcat("rm -- ", quoted, NULL);

		if (!g_file_test(path, G_FILE_TEST_EXISTS))
			doctor_add(doctor, FINDING_BAD, "leftover", remedy,
				   "the link %s leads to no device", path)
				->cleans = TRUE;
	}
}

static void check_unit(Doctor *doctor, const char *unit, const char *state)
{
	g_autofree char *number = g_strndup(unit + strlen("ublk-server-"),
					    strcspn(unit + strlen("ublk-server-"), "."));
	g_autofree char *remedy = NULL;
	gboolean failed = strcmp(state, "failed") == 0;
	guint32 id;

	if (!parse_u32(number, &id) || is_known(doctor, id) || is_in_kernel(doctor, id))
		return;
	remedy = g_strdup_printf("systemctl %s ublk-server-%u.service",
				 failed ? "reset-failed" : "stop", id);
	doctor_add(doctor, FINDING_BAD, "leftover", remedy,
		   "unit ublk-server-%u.service is %s, and there is no such device", id, state)
		->cleans = TRUE;
}

static void check_units(Doctor *doctor)
{
	static const char *const states[] = { NULL };
	static const char *const patterns[] = { "ublk-server-*.service", NULL };
	g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
		doctor->bus->connection, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "ListUnitsByPatterns",
		g_variant_new("(^as^as)", states, patterns), G_VARIANT_TYPE("(a(ssssssouso))"),
		G_DBUS_CALL_FLAGS_NONE, deadline_get_left_ms(-1), NULL, NULL);
	g_autoptr(GVariantIter) units = NULL;
	const char *name, *state;

	if (!reply)
		return;
	g_variant_get(reply, "(a(ssssssouso))", &units);
	while (g_variant_iter_loop(units, "(&s&s&s&s&s&s&ou&s&o)", &name, NULL, NULL, &state, NULL,
				   NULL, NULL, NULL, NULL, NULL))
		check_unit(doctor, name, state);
}

static GArray *list_kernel(const Doctor *doctor)
{
	GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autofree char *folder = doctor_get_path(doctor, CHAR_CLASS);
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;
	guint32 id;

	while (dir && (name = g_dir_read_name(dir)))
		if (g_str_has_prefix(name, "ublkc") && parse_u32(name + strlen("ublkc"), &id))
			g_array_append_val(ids, id);
	return ids;
}

/* What ublkd has, and those of its devices that some program keeps from going. */
static void find_known(Doctor *doctor)
{
	g_autoptr(GPtrArray) devices = device_list(doctor->bus, NULL);

	if (!devices)
		return;
	doctor->known = g_hash_table_new(NULL, NULL);
	for (guint i = 0; i < devices->len; i++) {
		const Device *device = devices->pdata[i];
		g_autofree char *remedy = g_strdup_printf("fuser -v /dev/ublkc%u", device->id);

		g_hash_table_add(doctor->known, GUINT_TO_POINTER(device->id));
		if (g_str_equal(device->state, UBLK_STATE_DEAD))
			doctor_add(doctor, FINDING_BAD, "leftover", remedy,
				   "device %u is deleted, but a program still has /dev/ublkc%u "
				   "open; this shows which to end",
				   device->id, device->id);
	}
}

void doctor_check_leftovers(Doctor *doctor)
{
	guint before = doctor->findings->len;
	g_autoptr(GArray) ids = NULL;

	if (doctor->contained)
		return;
	/* In this order: what is made in between is none. */
	ids = list_kernel(doctor);
	if (!doctor->known && doctor->bus)
		find_known(doctor);
	/* Where nobody says what ublkd has, nothing else can be told from a device in use. */
	check_links(doctor);
	if (doctor->known) {
		check_devices(doctor, ids);
		check_state(doctor);
	}
	if (doctor->known && doctor->bus)
		check_units(doctor);
	if (doctor->known && doctor->findings->len == before)
		doctor_add(doctor, FINDING_GOOD, "leftovers", NULL, "there are none");
}
