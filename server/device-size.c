/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The size that the device has now. See device-size.h. */
#include "device-size.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int directory = -1;

void device_size_open(void)
{
	/* Not its directory "block", which comes with the first such device. */
	if (directory < 0)
		directory = open(DEVICE_SIZE_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int device_size_get_directory(void)
{
	return directory;
}

uint64_t device_size_read(uint32_t dev_id)
{
	char path[64], text[32];
	ssize_t len;
	int fd;

	if (directory < 0)
		return 0;
	snprintf(path, sizeof(path), "block/ublkb%u/size", dev_id);
	/* By way of the directory and for reading: the filter in sandbox/calls.c wants it so. */
	fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	return strtoull(text, NULL, 10) << 9;
}
