/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all checks share, and those of the kernel and udev. */
#include "doctor.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "driver.h"

static void finding_free(Finding *finding)
{
	g_free(finding->text);
	g_free(finding->remedy);
	g_free(finding);
}

Doctor *doctor_new(const char *root, const char *release, gboolean contained)
{
	Doctor *doctor = g_new0(Doctor, 1);

	doctor->root = root;
	doctor->release = release;
	doctor->contained = contained;
	doctor->uid = getuid();
	doctor->findings = g_ptr_array_new_with_free_func((GDestroyNotify)finding_free);
	return doctor;
}

void doctor_free(Doctor *doctor)
{
	g_clear_pointer(&doctor->bus, bus_free);
	g_clear_pointer(&doctor->known, g_hash_table_unref);
	g_ptr_array_unref(doctor->findings);
	g_free(doctor);
}

char *doctor_get_path(const Doctor *doctor, const char *path)
{
	return g_strconcat(doctor->root, path, NULL);
}

Finding *doctor_add(Doctor *doctor, enum finding_level level, const char *subject,
		    const char *remedy, const char *format, ...)
{
	Finding *finding = g_new0(Finding, 1);
	va_list arguments;

	va_start(arguments, format);
	finding->text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	finding->level = level;
	finding->subject = subject;
	finding->remedy = g_strdup(remedy);
	g_ptr_array_add(doctor->findings, finding);
	return finding;
}

const char *doctor_get_level_name(enum finding_level level)
{
	static const char *const names[] = {
		[FINDING_GOOD] = "good",
		[FINDING_NOTE] = "note",
		[FINDING_BAD] = "bad",
	};

	return names[level];
}

GVariant *doctor_build_json(const Doctor *doctor)
{
	GVariantBuilder list;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
	for (guint i = 0; i < doctor->findings->len; i++) {
		const Finding *finding = doctor->findings->pdata[i];
		g_autofree char *text = g_utf8_make_valid(finding->text, -1);
		g_autofree char *remedy = finding->remedy ? g_utf8_make_valid(finding->remedy, -1)
							  : NULL;

		g_variant_builder_add_parsed(&list,
					     "{'subject': <%s>, 'level': <%s>, 'text': <%s>, "
					     "'remedy': <%ms>}",
					     finding->subject,
					     doctor_get_level_name(finding->level), text, remedy);
	}
	return g_variant_new_parsed("{'version': <@u 1>, 'findings': <%v>}",
				    g_variant_builder_end(&list));
}

void doctor_check_driver(Doctor *doctor)
{
	enum driver_state state = driver_get_state(doctor->root, doctor->release);
	g_autofree char *remedy = driver_describe(state, doctor->release);

	if (state == DRIVER_LOADED)
		doctor_add(doctor, FINDING_GOOD, "driver", NULL,
			   "Linux %s has the ublk driver, and it is loaded", doctor->release);
	else if (doctor->contained)
		doctor_add(doctor, FINDING_NOTE, "driver", NULL,
			   "whether Linux %s has the ublk driver, only its host knows",
			   doctor->release);
	else if (state == DRIVER_NOT_LOADED)
		doctor_add(doctor, FINDING_NOTE, "driver", NULL,
			   "Linux %s has the ublk driver as a module, which is loaded when ublkd "
			   "starts",
			   doctor->release);
	else
		doctor_add(doctor, FINDING_BAD, "driver", remedy,
			   "the kernel has no ublk driver (module ublk_drv, CONFIG_BLK_DEV_UBLK)");
}

/* A number in /proc/sys, or -1 where there is none. */
static gint64 read_sysctl(const Doctor *doctor, const char *name)
{
	g_autofree char *path = g_strconcat(doctor->root, "/proc/sys/kernel/", name, NULL);
	g_autofree char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoll(text, NULL, 10) : -1;
}

/* With no entries and nowhere to put the answer, this makes nothing whatever the kernel says. */
static int try_uring(void)
{
	return syscall(SYS_io_uring_setup, 0, NULL) < 0 ? errno : 0;
}

void doctor_check_uring(Doctor *doctor)
{
	gint64 disabled = read_sysctl(doctor, "io_uring_disabled");
	int tried = *doctor->root ? 0 : try_uring();

	if (disabled >= 2)
		doctor_add(doctor, FINDING_BAD, "io_uring", "sysctl -w kernel.io_uring_disabled=0",
			   "sysctl kernel.io_uring_disabled is %" G_GINT64_FORMAT
			   ", which forbids io_uring to everybody; /etc/sysctl.d may have it so at "
			   "each boot",
			   disabled);
	else if (disabled == 1)
		doctor_add(doctor, tried == EPERM ? FINDING_BAD : FINDING_NOTE, "io_uring",
			   tried == EPERM ? "sysctl -w kernel.io_uring_disabled=0" : NULL,
			   "sysctl kernel.io_uring_disabled is 1, which allows io_uring to the "
			   "group %" G_GINT64_FORMAT " alone: ublkd and each user need it",
			   read_sysctl(doctor, "io_uring_group"));
	else if (tried == EPERM || tried == ENOSYS)
		doctor_add(doctor, FINDING_BAD, "io_uring",
			   "ublk-client seccomp > ublk.json && podman run --security-opt "
			   "seccomp=ublk.json …",
			   "a seccomp filter forbids io_uring here: devices can be used, but not "
			   "served");
	else
		doctor_add(doctor, FINDING_GOOD, "io_uring", NULL, "it may be used");
}

/* Whether udev would take another file of the rules' name, in a folder that comes before. */
static char *find_replacement(const Doctor *doctor)
{
	static const char *const folders[] = { "/etc/udev/rules.d/", "/run/udev/rules.d/" };
	g_autofree char *name = g_path_get_basename(UBLK_UDEV_RULES);

	for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *path = g_strconcat(folders[i], name, NULL);
		g_autofree char *full = doctor_get_path(doctor, path);

		if (g_file_test(full, G_FILE_TEST_EXISTS))
			return g_steal_pointer(&path);
	}
	return NULL;
}

void doctor_check_udev(Doctor *doctor)
{
	g_autofree char *rules = doctor_get_path(doctor, UBLK_UDEV_RULES);
	g_autofree char *helper = doctor_get_path(doctor, UBLK_OWNER_PATH);
	g_autofree char *socket = doctor_get_path(doctor, "/run/udev/control");
	g_autofree char *replacement = find_replacement(doctor);

	if (doctor->contained)
		return;
	if (!g_file_test(rules, G_FILE_TEST_EXISTS) ||
	    !g_file_test(helper, G_FILE_TEST_IS_EXECUTABLE))
		doctor_add(doctor, FINDING_BAD, "udev", "apt install --reinstall ublkd",
			   "%s is not there, without which devices stay root's",
			   g_file_test(rules, G_FILE_TEST_EXISTS) ? UBLK_OWNER_PATH
								  : UBLK_UDEV_RULES);
	else if (replacement)
		doctor_add(doctor, FINDING_BAD, "udev", "remove it, and `udevadm control --reload`",
			   "%s is in place of the installed rules, without which devices stay "
			   "root's",
			   replacement);
	else if (!g_file_test(socket, G_FILE_TEST_EXISTS))
		doctor_add(doctor, FINDING_BAD, "udev", "systemctl start systemd-udevd",
			   "systemd-udevd does not run: nobody gives devices to their owners");
	else
		doctor_add(doctor, FINDING_GOOD, "udev", NULL,
			   "it runs, and has the rules that give devices to their owners");
}
