/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay DIRECTORY : the fuzz target that it is linked with, over each file there, and over
 * nothing. */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "fuzz.h"

#define LONGEST_INPUT (1 << 20)

int main(int argc, char **argv)
{
	static uint8_t input[LONGEST_INPUT];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir;

	if (argc != 2 || !(dir = opendir(argv[1]))) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	LLVMFuzzerTestOneInput(input, 0);
	while ((entry = readdir(dir))) {
		uint8_t *copy;
		ssize_t len;
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
		len = fd < 0 ? -1 : read(fd, input, sizeof(input));
		if (len < 0) {
			perror(entry->d_name);
			return 1;
		}
		close(fd);
		/* told before, so that the last line names what it died of */
		printf("%s\n", entry->d_name);
		fflush(stdout);
		/* of its own size, so that sanitizers see where it ends */
		copy = malloc((size_t)len + (len == 0));
		FUZZ_ASSERT(copy);
		for (ssize_t i = 0; i < len; i++)
			copy[i] = input[i];
		LLVMFuzzerTestOneInput(copy, (size_t)len);
		free(copy);
		count++;
	}
	closedir(dir);
	if (count == 0)
		fprintf(stderr, "nothing in %s\n", argv[1]);
	return count == 0;
}
