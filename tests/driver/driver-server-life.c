/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a server's process: how it is told where its device is, what it says when it is ready
 * or cannot be, who may look into it, and how it ends.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server-fixture.h"

#define MIB (1U << 20)

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void write_and_check(const struct device *device)
{
	char *buffer = alloc_buffer(64 << 10);
	int fd = block_open(device, O_RDWR | O_DIRECT);

	fill_pattern(buffer, 64 << 10, 4096, 1);
	write_all(fd, buffer, 64 << 10, 4096);
	CHECK(fsync(fd) == 0);
	memset(buffer, 0, 64 << 10);
	read_all(fd, buffer, 64 << 10, 4096);
	CHECK(check_pattern(buffer, 64 << 10, 4096, 1));
	close(fd);
	free(buffer);
}

/* Refused with this errno and these words, exit status 1, and the device is as it was. */
static void expect_refusal(struct device *device, int err, const char *words,
			   const char *const *args)
{
	char line[16];

	server_run(device, -1, args);
	if (server_read_report(device))
		FAIL("READY, but '%s' was expected", words);
	snprintf(line, sizeof(line), "ERRNO=%d\n", err);
	if (!strstr(device->text, line) || !strstr(device->text, words))
		FAIL("not %d, '%s', but\n%s", err, words, device->text);
	CHECK_EQ(server_wait(device), 1);
}
#define EXPECT_REFUSAL(device, err, words, ...) \
	expect_refusal(device, err, words, (const char *const[]){ __VA_ARGS__, NULL })

static void says_what_is_wrong(void)
{
	struct device device, other;

	device_add(&device, (struct device_wish){ 0 });
	EXPECT_REFUSAL(&device, ENOENT, "/tmp/absent does not exist", "-t", "loop", "-f",
		       "/tmp/absent");
	EXPECT_REFUSAL(&device, EINVAL, "null and loop", "-t", "nbd");
	EXPECT_REFUSAL(&device, EINVAL, "needs its backing file", "-t", "loop");
	EXPECT_REFUSAL(&device, EINVAL, "has no backing file", "-t", "null", "-f", "/tmp/x");
	EXPECT_REFUSAL(&device, ENODEV, "/dev/null is not the character device", "-t", "null",
		       "--char-device", "/dev/null");
	EXPECT_REFUSAL(&device, ENOENT, "no such device", "-t", "null", "--char-device",
		       "/dev/ublkc999");
	/* Numbers that are not the device's. */
	EXPECT_REFUSAL(&device, EINVAL, "--queues and --depth", "-t", "null", "--depth", "4000");
	EXPECT_REFUSAL(&device, EINVAL, "--queues and --depth", "-t", "null", "--queues", "2");
	/* 6.12 lets nobody else map what a process has mapped, were it in vain. */
	device_delete(&device);

	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "null");
	other = device;
	other.report = -1;
	EXPECT_REFUSAL(&other, EBUSY, "another process serves", "-t", "null");
	close(other.report);
	device_delete_served(&device);
	STEP("says what is wrong: ok");
}

/* By sysctl here; in a container by its seccomp profile. */
static void says_that_io_uring_is_forbidden(void)
{
	struct device device;

	device_add(&device, (struct device_wish){ .uid = ALICE_UID });
	write_file("/proc/sys/kernel/io_uring_disabled", "2");
	EXPECT_REFUSAL(&device, ENOSYS, "io_uring_disabled", "-t", "null");
	write_file("/proc/sys/kernel/io_uring_disabled", "0");
	DEVICE_SERVE(&device, "-t", "null");
	device_delete_served(&device);
	STEP("says that io_uring is forbidden: ok");
}

static void wrong_command_line_is_status_2(void)
{
	struct device device;

	device_add(&device, (struct device_wish){ 0 });
	SERVER_RUN(&device, "-t", "null", "--no-such-option");
	CHECK(!server_read_report(&device));
	CHECK(strstr(device.text, "--no-such-option"));
	CHECK_EQ(server_wait(&device), 2);
	device_delete(&device);
	STEP("wrong command line: ok");
}

static void ends_with_its_device(void)
{
	struct device device;

	device_add(&device, (struct device_wish){ .queues = 4 });
	DEVICE_SERVE(&device, "-t", "null");
	device_stop(&device);
	CHECK_EQ(server_wait(&device), 0);
	device_delete(&device);

	/* Deleted before it was ever started. */
	device_add(&device, (struct device_wish){ .queues = 2 });
	SERVER_RUN(&device, "-t", "null");
	CHECK(server_read_report(&device));
	device_delete_served(&device);
	STEP("ends with its device: ok");
}

static void ends_when_told(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct device device;

	for (int i = 0; i < 3; i++) {
		device_add(&device, (struct device_wish){ .queues = 2 });
		make_file("/tmp/img", MIB);
		DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img");
		write_and_check(&device);
		server_signal(&device, signals[i]);
		CHECK_EQ(server_wait(&device), 0);
		device_delete(&device);
	}
	unlink("/tmp/img");
	STEP("ends when told: ok");
}

static void goes_on_without_listeners(void)
{
	struct device device;

	device_add(&device, (struct device_wish){ 0 });
	make_file("/tmp/img", MIB);
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img");
	close(device.report);
	device.report = open("/dev/null", O_RDONLY);
	write_and_check(&device);
	device_delete_served(&device);
	unlink("/tmp/img");
	STEP("goes on without listeners: ok");
}

static void takes_a_sent_file(void)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct device device;
	int file;

	device_add(&device, (struct device_wish){ .uid = ALICE_UID });
	/* Not a name that the server could open. */
	file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	CHECK(file >= 0 && ftruncate(file, MIB) == 0);
	SERVER_RUN(&device, "-t", "loop", "--receive-file");
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	CHECK(sendmsg(device.report, &msg, 0) == 1);
	close(file);
	CHECK(server_read_report(&device));
	CHECK(device_start(&device) == 0);
	write_and_check(&device);
	device_delete_served(&device);
	STEP("takes a sent file: ok");
}

static void takes_an_inherited_file(void)
{
	struct device device;
	char number[16];
	int file;

	device_add(&device, (struct device_wish){ .uid = ALICE_UID });
	make_file("/tmp/img", MIB);
	CHECK(chmod("/tmp/img", 0600) == 0);
	file = open("/tmp/img", O_RDWR);
	snprintf(number, sizeof(number), "%d", file);
	server_run(&device, file, (const char *const[]){ "-t", "loop", "--file-fd", number, NULL });
	close(file);
	CHECK(server_read_report(&device));
	CHECK(device_start(&device) == 0);
	write_and_check(&device);
	device_delete_served(&device);
	unlink("/tmp/img");
	STEP("takes an inherited file: ok");
}

/* systemd's protocol, which a Type=notify unit waits for. */
static void notifies_systemd(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/notify" };
	char text[512] = "";
	struct device device;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	device_add(&device, (struct device_wish){ 0 });
	DEVICE_SERVE(&device, "-t", "null");
	CHECK(recv(fd, text, sizeof(text) - 1, 0) > 0);
	CHECK(strncmp(text, "READY=1\nSTATUS=", 15) == 0);
	server_signal(&device, SIGTERM);
	CHECK_EQ(server_wait(&device), 0);
	memset(text, 0, sizeof(text));
	CHECK(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	CHECK(strncmp(text, "STOPPING=1", 10) == 0);
	device_delete(&device);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
	unlink(address.sun_path);
	STEP("notifies systemd: ok");
}

static int try_to_look_into(void *arg)
{
	pid_t pid = *(pid_t *)arg;
	char path[32];
	int looked = 0;

	util_become(ALICE_UID, ALICE_GID);
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0) {
		waitpid(pid, NULL, 0);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		looked = 1;
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	if (open(path, O_RDONLY) >= 0)
		looked |= 2;
	return looked;
}

static int sleep_as_alice(void *arg)
{
	util_become(ALICE_UID, ALICE_GID);
	/* Changing the user made this undumpable; exec would undo it. */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK(write(*(int *)arg, "r", 1) == 1);
	pause();
	return 0;
}

static void cannot_be_looked_into(void)
{
	struct device device;
	int fds[2];
	char byte;
	pid_t pid;

	/* That alice can do it to another process of hers shows that the attempt means something.
	 */
	CHECK(pipe(fds) == 0);
	pid = util_fork(sleep_as_alice, &fds[1]);
	CHECK(read(fds[0], &byte, 1) == 1);
	CHECK_EQ(util_wait(util_fork(try_to_look_into, &pid)), 3);
	kill(pid, SIGKILL);
	util_wait(pid);

	device_add(&device, (struct device_wish){ .uid = ALICE_UID });
	DEVICE_SERVE(&device, "-t", "null");
	CHECK_EQ(util_wait(util_fork(try_to_look_into, &device.server)), 0);
	device_delete_served(&device);
	close(fds[0]);
	close(fds[1]);
	STEP("cannot be looked into: ok");
}

static void serves_as_ordinary_user(void)
{
	struct device device;

	device_add(&device, (struct device_wish){ .queues = 2, .uid = ALICE_UID });
	make_file("/tmp/img", MIB);
	CHECK(chown("/tmp/img", ALICE_UID, ALICE_GID) == 0 && chmod("/tmp/img", 0600) == 0);
	DEVICE_SERVE(&device, "-t", "loop", "-f", "/tmp/img");
	write_and_check(&device);
	device_delete_served(&device);

	/* What alice may not open, her server may not either. */
	CHECK(chown("/tmp/img", 0, 0) == 0);
	device_add(&device, (struct device_wish){ .uid = ALICE_UID });
	EXPECT_REFUSAL(&device, EACCES, "uid 1000", "-t", "loop", "-f", "/tmp/img");
	device_delete(&device);
	unlink("/tmp/img");
	STEP("serves as an ordinary user: ok");
}

/* Opened by who then becomes the server by exec: the driver takes the opener for the server. */
static void takes_an_open_descriptor(void)
{
	const char *argv[SERVER_MAX_ARGS * 2];
	struct device device;
	char number[16], report[16];
	int fds[2], fd;
	size_t n;

	device_add(&device, (struct device_wish){ 0 });
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	device.report = fds[0];
	device.server = fork();
	if (device.server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = open(device.chr, O_RDWR);
		server_options(&device, argv);
		for (n = 0; argv[n]; n++)
			;
		snprintf(number, sizeof(number), "%d", fd);
		snprintf(report, sizeof(report), "%d", fds[1]);
		argv[n++] = "-tnull";
		argv[n++] = "--char-fd";
		argv[n++] = number;
		argv[n++] = "--report-fd";
		argv[n++] = report;
		argv[n] = NULL;
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(fds[1]);
	CHECK(server_read_report(&device));
	CHECK(device_start(&device) == 0);
	device_delete_served(&device);
	STEP("takes an open descriptor: ok");
}

struct contained {
	struct device *device;
	int char_fd, report_fd, pid_fd;
};

/*
 * alice makes herself user, mount and pid namespaces with an empty /dev, and runs the server in
 * there, with nothing but an O_PATH descriptor.
 */
static int run_contained(void *arg)
{
	struct contained *contained = arg;
	const char *argv[SERVER_MAX_ARGS * 2];
	char number[16], report[16];
	pid_t pid;
	size_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	util_become(ALICE_UID, ALICE_GID);
	prctl(PR_SET_DUMPABLE, 1);
	CHECK(unshare(CLONE_NEWUSER) == 0);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", "0 1000 1");
	write_file("/proc/self/gid_map", "0 1000 1");
	CHECK(unshare(CLONE_NEWNS | CLONE_NEWPID) == 0);
	CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", "/dev", "tmpfs", 0, NULL) == 0);
	pid = fork();
	if (pid == 0) {
		CHECK(getpid() == 1);
		CHECK(access(contained->device->chr, F_OK) == -1);
		mount("proc", "/proc", "proc", 0, NULL);
		server_options(contained->device, argv);
		for (n = 0; argv[n]; n++)
			;
		snprintf(number, sizeof(number), "%d", contained->char_fd);
		snprintf(report, sizeof(report), "%d", contained->report_fd);
		argv[n++] = "-tloop";
		argv[n++] = "-f/tmp/img";
		argv[n++] = "--char-fd";
		argv[n++] = number;
		argv[n++] = "--report-fd";
		argv[n++] = report;
		argv[n] = NULL;
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	CHECK(write(contained->pid_fd, &pid, sizeof(pid)) == sizeof(pid));
	return util_wait(pid);
}

static void serves_from_namespaces_without_dev(void)
{
	struct contained contained;
	struct device device;
	int report[2], pids[2];
	pid_t outer;

#ifdef __SANITIZE_THREAD__
	STEP("serves from namespaces without /dev: not where the sanitizer's own thread forbids a "
	     "user namespace");
	return;
#endif
	device_add(&device, (struct device_wish){ .queues = 2, .uid = ALICE_UID });
	make_file("/tmp/img", MIB);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, report) == 0 && pipe(pids) == 0);
	contained = (struct contained){
		.device = &device,
		.char_fd = open(device.chr, O_PATH),
		.report_fd = report[1],
		.pid_fd = pids[1],
	};
	outer = util_fork(run_contained, &contained);
	close(pids[1]);
	CHECK(read(pids[0], &device.server, sizeof(device.server)) == sizeof(device.server));
	close(contained.char_fd);
	close(report[1]);
	device.report = report[0];
	CHECK(server_read_report(&device));
	CHECK(device_start(&device) == 0);
	write_and_check(&device);
	device_stop(&device);
	CHECK_EQ(util_wait(outer), 0);
	device.server = 0;
	device_delete(&device);
	close(pids[0]);
	unlink("/tmp/img");
	STEP("serves from namespaces without /dev: ok");
}

/* "Name:   123 kB" of /proc/PID/status. */
static long status_value(pid_t pid, const char *name)
{
	char path[32], line[256], format[32];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	CHECK(file);
	snprintf(format, sizeof(format), "%s:", name);
	while (value < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, format, strlen(format)) == 0)
			value = strtol(line + strlen(format), NULL, 10);
	}
	fclose(file);
	return value;
}

/* Buffers are reserved, not filled: an idle server's own memory is small, whatever the depth. */
static void idles_in_little_memory(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	const long own_kib = 64 << 10; /* the sanitizer's, which is counted too */
#else
	const long own_kib = 0;
#endif
	struct device device;

	device_add(&device, (struct device_wish){ .depth = 128 });
	DEVICE_SERVE(&device, "-t", "null");
	STEP("one queue of 128: VmRSS %ld kB, RssAnon %ld kB, VmSize %ld kB",
	     status_value(device.server, "VmRSS"), status_value(device.server, "RssAnon"),
	     status_value(device.server, "VmSize"));
	CHECK(status_value(device.server, "RssAnon") < own_kib + 1024);
	device_delete_served(&device);

	device_add(&device, (struct device_wish){ .depth = 4096 });
	DEVICE_SERVE(&device, "-t", "null");
	CHECK(status_value(device.server, "RssAnon") < own_kib + 2048);
	device_delete_served(&device);
	STEP("idles in little memory: ok");
}

/* Processors that are not there or not allowed are no reason not to serve. */
static void binds_its_threads(void)
{
	struct device device;
	char path[64], line[256];
	struct dirent *entry;
	int bound = 0;
	FILE *file;
	DIR *dir;

	device_add(&device, (struct device_wish){ .queues = 2 });
	DEVICE_SERVE(&device, "-t", "null", "--queue-cpus", "0:4000");
	snprintf(path, sizeof(path), "/proc/%d/task", device.server);
	dir = opendir(path);
	CHECK(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", device.server,
			 entry->d_name);
		file = fopen(path, "r");
		CHECK(file);
		CHECK(fgets(line, sizeof(line), file));
		if (strcmp(line, "Name:\tublk-q0\n") == 0) {
			while (fgets(line, sizeof(line), file))
				bound |= strcmp(line, "Cpus_allowed_list:\t0\n") == 0;
		}
		fclose(file);
	}
	closedir(dir);
	CHECK(bound);
	device_delete_served(&device);
	STEP("binds its threads: ok");
}

int main(void)
{
	says_what_is_wrong();
	says_that_io_uring_is_forbidden();
	wrong_command_line_is_status_2();
	ends_with_its_device();
	ends_when_told();
	goes_on_without_listeners();
	takes_a_sent_file();
	takes_an_inherited_file();
	notifies_systemd();
	cannot_be_looked_into();
	serves_as_ordinary_user();
	takes_an_open_descriptor();
	serves_from_namespaces_without_dev();
	idles_in_little_memory();
	binds_its_threads();
	return 0;
}
