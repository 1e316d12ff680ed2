/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the loop target makes of various backing files: the limits it announces, and what it
 * refuses. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/target.h"

static char dir[] = "/tmp/test-server-loop-XXXXXX";
static struct options options;
static struct ublk_limits limits;
static struct server_error error;

/* The loop target takes no request in here. */
bool target_request_is_late(const struct target_request *req)
{
	(void)req;
	return false;
}

struct io_uring_sqe *target_request_get_sqe(struct target_request *req)
{
	abort();
}

void target_request_complete(struct target_request *req, int result)
{
	abort();
}

static const char *in_dir(const char *name)
{
	static char path[sizeof(dir) + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void reset(void)
{
	options = (struct options){
		.char_fd = -1, .file_fd = -1, .report_fd = -1, .max_io_size = 524288, .depth = 1
	};
}

static const char *make_file(const char *name, off_t size)
{
	const char *path = in_dir(name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert(fd >= 0 && ftruncate(fd, size) == 0);
	close(fd);
	reset();
	options.file = path;
	return path;
}

static int open_target(void **target)
{
	int ret;

	error = (struct server_error){ 0 };
	limits = (struct ublk_limits){ 0 };
	ret = target_loop.open(&options, -1, &limits, target, &error);
	assert(ret == 0 ? !error.err : error.err == -ret && error.text[0]);
	return ret;
}

static void expect_ok(void)
{
	void *target;

	if (open_target(&target) < 0) {
		fprintf(stderr, "%s\n", error.text);
		abort();
	}
	target_loop.close(target);
}

static void expect_refusal(int err, const char *words)
{
	void *target;

	if (open_target(&target) != -err || !strstr(error.text, words)) {
		fprintf(stderr, "%d '%s', not %d '%s'\n", error.err, error.text, err, words);
		abort();
	}
}

static void announces_what_a_file_has(void)
{
	make_file("img", 10 << 20);
	expect_ok();
	assert(limits.size == 10 << 20 && limits.logical_block_size == 512);
	assert(limits.physical_block_size >= 512 && limits.physical_block_size <= 4096);
	assert(limits.max_io_size == 524288 && !limits.read_only && !limits.rotational);
	/* Always: a flush must come, or nothing is ever durable. */
	assert(limits.volatile_cache && limits.fua);
	if (limits.max_discard_size)
		assert(limits.discard_granularity >= 512 && limits.max_write_zeroes_size);
	/* Examining it changes nothing. */
	struct stat st;
	assert(stat(options.file, &st) == 0 && st.st_size == 10 << 20 && st.st_blocks == 0);
}

static void announces_no_writes_for_read_only(void)
{
	assert(chmod(make_file("ro", 1 << 20), 0400) == 0);
	options.read_only = true;
	expect_ok();
	assert(limits.read_only && !limits.max_discard_size && !limits.max_write_zeroes_size);
}

static void rounds_the_size_down(void)
{
	make_file("odd", 1000 * 1000 + 1);
	expect_ok();
	assert(limits.size == 1000 * 1000 + 1 - (1000 * 1000 + 1) % 512);
	options.logical_block_size = 4096;
	expect_ok();
	assert(limits.size % 4096 == 0 && limits.logical_block_size == 4096);
	assert(limits.physical_block_size == 4096);

	make_file("tiny", 511);
	expect_refusal(EINVAL, "less than one block");
	make_file("empty", 0);
	expect_refusal(EINVAL, "0 bytes");
	make_file("block", 512);
	expect_ok();
	assert(limits.size == 512);
}

static void takes_a_part_of_the_file(void)
{
	make_file("img", 1 << 20);
	options.size = 1 << 19;
	expect_ok();
	assert(limits.size == 1 << 19);
	options.size = (1 << 20) + 1;
	expect_refusal(EINVAL, "--size 1048577 is more than the 1048576");
}

static void uses_both_ways_of_access(void)
{
	void *target;

	make_file("img", 1 << 20);
	options.io_mode = OPTIONS_IO_BUFFERED;
	expect_ok();
	/* Where direct I/O works at all, it works with the block size that it then asks for. */
	options.io_mode = OPTIONS_IO_DIRECT;
	if (open_target(&target) == 0) {
		assert(limits.logical_block_size >= 512);
		target_loop.close(target);
	} else {
		assert(strstr(error.text, "direct"));
	}
}

static void refuses_other_kinds_of_file(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	reset();
	options.file = dir;
	expect_refusal(EISDIR, "directory");
	options.file = "/dev/null";
	expect_refusal(EINVAL, "character device");
	options.file = in_dir("fifo");
	assert(mkfifo(options.file, 0600) == 0);
	expect_refusal(EINVAL, "pipe");
	options.file = in_dir("socket");
	strncpy(address.sun_path, options.file, sizeof(address.sun_path) - 1);
	assert(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	expect_refusal(EINVAL, "socket");
	close(fd);
	options.file = in_dir("absent");
	expect_refusal(ENOENT, "does not exist");
}

static int open_img(int flags)
{
	int fd = open(in_dir("img"), flags);

	assert(fd >= 0);
	return fd;
}

/* The descriptor becomes the target's: closed when it refuses. */
static void expect_descriptor_refused(int fd, int err, const char *words)
{
	options.file_fd = fd;
	expect_refusal(err, words);
	assert(fcntl(fd, F_GETFD) == -1);
}

static void takes_descriptors(void)
{
	int pipe_fds[2];

	make_file("img", 1 << 20);
	options.file = NULL;
	options.file_fd = open_img(O_RDWR);
	expect_ok();
	/* O_APPEND is the sender's business: with it every write would go to the end. */
	options.file_fd = open_img(O_RDWR | O_APPEND);
	expect_ok();
	expect_descriptor_refused(open_img(O_PATH), EBADF, "O_PATH");
	expect_descriptor_refused(open_img(O_WRONLY), EBADF, "not open for reading");
	expect_descriptor_refused(open_img(O_RDONLY), EROFS, "read-only");
	assert(pipe(pipe_fds) == 0);
	close(pipe_fds[1]);
	expect_descriptor_refused(pipe_fds[0], EINVAL, "pipe");
	expect_descriptor_refused(open(dir, O_RDONLY), EISDIR, "directory");
	options.file_fd = 999;
	expect_refusal(EBADF, "not open");

	options.read_only = true;
	options.file_fd = open_img(O_RDONLY);
	expect_ok();
	assert(limits.read_only);

	/* A file without a name will do. */
	options.read_only = false;
	options.file_fd = memfd_create("test", MFD_CLOEXEC);
	assert(ftruncate(options.file_fd, 1 << 20) == 0);
	expect_ok();
	assert(limits.size == 1 << 20);
}

static void refuses_a_second_writer(void)
{
	struct options first;
	void *target, *other;

	make_file("img", 1 << 20);
	assert(open_target(&target) == 0);
	first = options;
	expect_refusal(EBUSY, "in use by another program");
	options.read_only = true;
	expect_refusal(EBUSY, "in use by another program");
	target_loop.close(target);

	assert(open_target(&target) == 0);
	assert(open_target(&other) == 0);
	options = first;
	expect_refusal(EBUSY, "only read-only devices can share");
	target_loop.close(target);
	target_loop.close(other);
	expect_ok();
}

static void names_a_missing_permission(void)
{
	int status;
	pid_t pid;

	assert(chmod(make_file("img", 1 << 20), 0400) == 0);
	pid = fork();
	if (pid == 0) {
		/* Root may do everything. */
		if (getuid() == 0 &&
		    (chmod(dir, 0755) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(1);
		expect_refusal(EACCES, "needs that permission");
		_exit(0);
	}
	assert(waitpid(pid, &status, 0) == pid && status == 0);
	chmod(options.file, 0600);
}

static atomic_bool swapping;

/* The name "img" leads to one thing after the other: two files, a pipe, nothing. */
static void *swap(void *arg)
{
	static const char *const things[] = { "one", "two", "fifo" };
	char name[sizeof(dir) + 64], next[sizeof(dir) + 64], thing[sizeof(dir) + 64];

	snprintf(name, sizeof(name), "%s/img", dir);
	snprintf(next, sizeof(next), "%s/next", dir);
	for (unsigned int i = 0; swapping; i++) {
		snprintf(thing, sizeof(thing), "%s/%s", dir, things[i % 3]);
		assert(link(thing, next) == 0 && rename(next, name) == 0);
		if (i % 7 == 0)
			unlink(name);
	}
	return NULL;
}

/* What is checked is what is opened, or it is refused; and nothing blocks. */
static void is_not_fooled_by_an_exchange(void)
{
	int opened = 0, exchanged = 0;
	/* It tells of each file how it is accessed. */
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), log = dup(STDERR_FILENO);
	pthread_t thread;

	make_file("one", 1 << 20);
	make_file("two", 2 << 20);
	mkfifo(in_dir("fifo"), 0600);
	make_file("img", 4096);
	options.read_only = true;
	swapping = true;
	assert(null >= 0 && log >= 0 && dup2(null, STDERR_FILENO) >= 0);
	assert(pthread_create(&thread, NULL, swap, NULL) == 0);
	/* On a busy machine the other thread may not come to put a file there for a while. */
	for (int i = 0; i < 2000 || !opened || (i < 20000 && !exchanged); i++) {
		void *target;
		int ret = open_target(&target);

		if (ret == 0) {
			assert(limits.size == 1 << 20 || limits.size == 2 << 20 ||
			       limits.size == 4096);
			target_loop.close(target);
			opened++;
		} else {
			assert(ret == -ESTALE || ret == -ENOENT || ret == -EINVAL ||
			       ret == -ENOTBLK);
			exchanged += ret == -ESTALE;
		}
	}
	swapping = false;
	pthread_join(thread, NULL);
	assert(dup2(log, STDERR_FILENO) >= 0);
	close(null);
	close(log);
	/* Where it was never caught in the act there is one processor. */
	printf("opened %d times, found exchanged %d times\n", opened, exchanged);
	assert(opened);
	for (const char **name = (const char *[]){ "one", "two", "next", NULL }; *name; name++)
		unlink(in_dir(*name));
}

/* Who made it has it locked, and removes it meanwhile: nothing may be written to what has no name.
 */
static void refuses_what_was_removed(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char proc[64];
	int ready[2], status, fd;
	pid_t child;
	char c;

	make_file("given-up", 1 << 20);
	assert(pipe(ready) == 0);
	child = fork();
	assert(child >= 0);
	if (child == 0) {
		fd = open(options.file, O_RDWR);
		if (fcntl(fd, F_OFD_SETLK, &lock) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		usleep(300 * 1000);
		_exit(unlink(options.file) != 0);
	}
	assert(read(ready[0], &c, 1) == 1);
	expect_refusal(ENOENT, "given-up was removed while it was opened");
	assert(waitpid(child, &status, 0) == child && status == 0);
	close(ready[0]);
	close(ready[1]);

	/* What never had a name is good, if it comes as a descriptor, or by /proc's name for that.
	 */
	reset();
	fd = options.file_fd = open(dir, O_RDWR | O_TMPFILE, 0600);
	if (fd >= 0) {
		assert(ftruncate(fd, 1 << 20) == 0);
		expect_ok();
	} else {
		assert(errno == EOPNOTSUPP);
	}
	reset();
	fd = memfd_create("test", MFD_CLOEXEC);
	assert(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	options.file = proc;
	expect_ok();
	close(fd);
}

int main(void)
{
	assert(mkdtemp(dir));
	announces_what_a_file_has();
	announces_no_writes_for_read_only();
	rounds_the_size_down();
	takes_a_part_of_the_file();
	uses_both_ways_of_access();
	refuses_other_kinds_of_file();
	takes_descriptors();
	refuses_a_second_writer();
	names_a_missing_permission();
	is_not_fooled_by_an_exchange();
	refuses_what_was_removed();
	for (const char **name = (const char *[]){ "img", "ro", "odd", "tiny", "empty", "block",
						   "fifo", "socket", NULL };
	     *name; name++)
		unlink(in_dir(*name));
	assert(rmdir(dir) == 0);
	return 0;
}
