/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ublk-client: block devices that are served from user space, for the command line. It asks ublkd
 * over D-Bus (see dbus/) and prints the answer; everything that it may do, any D-Bus program may.
 */
#include <locale.h>

#include "verbs.h"

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "");
	return verbs_run(argc, argv);
}
