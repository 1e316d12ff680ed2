/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every test of ublk-server needs. See server-fixture.h. */
#include "server-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/ublk-abi.h"
#include "kernel/ublk-control.h"
#include "kernel/ublk-creds.h"

#define TIMEOUT_S 20

static struct ublk_control *ctl;
static int run(const struct device *device, uint32_t op, uint64_t data, void *buf, size_t len)
{
	const struct ublk_control_cmd cmd = {
		.op = op,
		.dev_id = device->info.dev_id,
		.queue_id = UBLK_QUEUE_NONE,
		.data = data,
		.buf = buf,
		.len = len,
		.personality = (unsigned int)device->personality,
		.privileged = device->uid == 0,
		.timeout_ms = TIMEOUT_S * 1000,
	};

	return ublk_control_run(ctl, &cmd);
}

static void wait_for_node(const char *path)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };

	for (int i = 0; i < TIMEOUT_S * 100 && access(path, F_OK) < 0; i++)
		nanosleep(&pause, NULL);
	CHECK(access(path, F_OK) == 0);
}

void device_add(struct device *device, struct device_wish wish)
{
	if (!ctl)
		ctl = util_open_control();
	*device = (struct device){ .uid = wish.uid, .report = -1 };
	if (wish.uid) {
		device->personality =
			CHECK_OK(ublk_creds_register(ctl, wish.uid, wish.uid, NULL, 0));
		wish.flags |= UBLK_F_UNPRIVILEGED_DEV;
	}
	device->info = (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = wish.queues ? wish.queues : 1,
		.queue_depth = wish.depth ? wish.depth : 32,
		.max_io_buf_bytes = wish.max_io_size ? wish.max_io_size : 512 << 10,
		.dev_id = UBLK_DEV_ID_ANY,
		.flags = wish.flags | UBLK_F_CMD_IOCTL_ENCODE,
		.ublksrv_pid = -1,
	};
	CHECK_OK(run(device, UBLK_U_CMD_ADD_DEV, 0, &device->info, sizeof(device->info)));
	CHECK(!wish.uid == !(device->info.flags & UBLK_F_UNPRIVILEGED_DEV));
	snprintf(device->chr, sizeof(device->chr), "/dev/ublkc%u", device->info.dev_id);
	snprintf(device->block, sizeof(device->block), "/dev/ublkb%u", device->info.dev_id);
	wait_for_node(device->chr);
	util_chown_nodes(device->info.dev_id, wish.uid, wish.uid);
}

void server_options(const struct device *device, const char *argv[SERVER_MAX_ARGS * 2])
{
	static char id[16], queues[16], depth[16], max_io_size[16], flags[24];
	const char *options[] = { "--id",    id,    "--queues",      queues,
				  "--depth", depth, "--max-io-size", max_io_size,
				  "--flags", flags };
	const char *server = getenv("UBLK_SERVER");
	size_t n = 0;

	snprintf(id, sizeof(id), "%u", device->info.dev_id);
	snprintf(queues, sizeof(queues), "%u", device->info.nr_hw_queues);
	snprintf(depth, sizeof(depth), "%u", device->info.queue_depth);
	snprintf(max_io_size, sizeof(max_io_size), "%u", device->info.max_io_buf_bytes);
	snprintf(flags, sizeof(flags), "0x%llx", (unsigned long long)device->info.flags);
	argv[n++] = server ? server : "/usr/bin/ublk-server";
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		argv[n++] = options[i];
	argv[n] = NULL;
}

void server_run(struct device *device, int inherit, const char *const *args)
{
	const char *argv[SERVER_MAX_ARGS * 2];
	bool own_char = false;
	char report[16];
	int fds[2];
	size_t n;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	if (device->report >= 0)
		close(device->report);
	device->report = fds[0];
	server_options(device, argv);
	for (n = 0; argv[n]; n++)
		;
	snprintf(report, sizeof(report), "%d", fds[1]);
	argv[n++] = "--report-fd";
	argv[n++] = report;
	for (; *args; args++) {
		CHECK(n < SERVER_MAX_ARGS * 2 - 3);
		argv[n++] = *args;
		own_char |= strncmp(*args, "--char-", 7) == 0;
	}
	if (!own_char) {
		argv[n++] = "--char-device";
		argv[n++] = device->chr;
	}
	argv[n] = NULL;

	device->server = fork();
	CHECK(device->server >= 0);
	if (device->server == 0) {
		fcntl(fds[1], F_SETFD, 0);
		if (inherit >= 0)
			fcntl(inherit, F_SETFD, 0);
		if (device->uid)
			util_become(device->uid, device->uid);
		/* A test that fails ends without further ado. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(fds[1]);
}

static uint64_t report_value(const struct device *device, const char *key)
{
	char line[64];
	const char *found;

	snprintf(line, sizeof(line), "\n%s=", key);
	found = strstr(device->text, line);
	if (!found)
		fprintf(stderr, "no %s in the report:\n%s", key, device->text);
	CHECK(found);
	return strtoull(found + strlen(line), NULL, 10);
}

bool server_read_report(struct device *device)
{
	struct pollfd pfd = { .fd = device->report, .events = POLLIN };
	ssize_t len;

	CHECK(poll(&pfd, 1, TIMEOUT_S * 1000) == 1);
	len = recv(device->report, device->text, sizeof(device->text) - 1, 0);
	CHECK(len > 0);
	device->text[len] = '\0';
	if (strncmp(device->text, "READY=1\n", 8) != 0) {
		CHECK(strncmp(device->text, "ERRNO=", 6) == 0 && strstr(device->text, "\nERROR="));
		return false;
	}
	device->limits = (struct ublk_limits){
		.size = report_value(device, "size"),
		.logical_block_size = (uint32_t)report_value(device, "logical-block-size"),
		.physical_block_size = (uint32_t)report_value(device, "physical-block-size"),
		.io_min = (uint32_t)report_value(device, "io-min"),
		.io_opt = (uint32_t)report_value(device, "io-opt"),
		.max_io_size = (uint32_t)report_value(device, "max-io-size"),
		.dma_alignment = (uint32_t)report_value(device, "dma-alignment"),
		.read_only = report_value(device, "read-only"),
		.rotational = report_value(device, "rotational"),
		.volatile_cache = report_value(device, "volatile-cache"),
		.fua = report_value(device, "fua"),
		.max_discard_size = report_value(device, "max-discard-size"),
		.discard_granularity = (uint32_t)report_value(device, "discard-granularity"),
		.discard_alignment = (uint32_t)report_value(device, "discard-alignment"),
		.max_write_zeroes_size = report_value(device, "max-write-zeroes-size"),
	};
	return true;
}

int device_start(struct device *device)
{
	struct ublk_params params;
	const char *field = "", *why = "";
	int ret;

	ret = ublk_params_build(&device->limits, device->info.max_io_buf_bytes, &params, &field,
				&why);
	if (ret < 0)
		fprintf(stderr, "parameters: %s: %s\n", field, why);
	if (ret == 0)
		ret = run(device, UBLK_U_CMD_SET_PARAMS, 0, &params, sizeof(params));
	if (ret >= 0)
		ret = run(device, UBLK_U_CMD_START_DEV, (uint64_t)device->server, NULL, 0);
	if (ret < 0) {
		fprintf(stderr, "cannot start the device: %s\n", strerror(-ret));
		return ret;
	}
	wait_for_node(device->block);
	util_chown_nodes(device->info.dev_id, device->uid, device->uid);
	return 0;
}

int server_wait(struct device *device)
{
	const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	int status = 0;
	pid_t pid = 0;

	CHECK(device->server > 0);
	for (int i = 0; i < TIMEOUT_S * 200 && pid == 0; i++) {
		pid = waitpid(device->server, &status, WNOHANG);
		if (pid == 0)
			nanosleep(&pause, NULL);
	}
	CHECK(pid == device->server);
	device->server = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void server_signal(const struct device *device, int signo)
{
	CHECK(device->server > 0 && kill(device->server, signo) == 0);
}

void device_stop(struct device *device)
{
	CHECK_OK(run(device, UBLK_U_CMD_STOP_DEV, 0, NULL, 0));
}

void device_delete(struct device *device)
{
	if (device->server > 0) {
		server_signal(device, SIGKILL);
		server_wait(device);
	}
	CHECK_OK(run(device, UBLK_U_CMD_DEL_DEV, 0, NULL, 0));
	if (device->personality)
		ublk_creds_drop(ctl, device->personality);
	if (device->report >= 0)
		close(device->report);
	device->report = -1;
}

void device_delete_served(struct device *device)
{
	CHECK_OK(run(device, UBLK_U_CMD_DEL_DEV, 0, NULL, 0));
	CHECK(server_wait(device) == 0);
	if (device->personality)
		ublk_creds_drop(ctl, device->personality);
	close(device->report);
	device->report = -1;
}

int block_open(const struct device *device, int flags)
{
	int fd = open(device->block, flags | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

const char *make_file(const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	CHECK(fd >= 0 && ftruncate(fd, size) == 0 && fchmod(fd, 0666) == 0);
	close(fd);
	return path;
}

void shell(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		FAIL("'%s' failed", command);
}

void disk_attach(const char *file, off_t size)
{
	make_file(file, size);
	shell("for i in 1 2 3 4 5 6 7 8 9 10; do losetup /dev/loop0 %s 2> /tmp/losetup && exit; "
	      "sleep 0.2; done; cat /tmp/losetup; exit 1",
	      file);
}

void disk_detach(const char *file)
{
	shell("losetup -d /dev/loop0");
	unlink(file);
}

#define NULL_DISK "/sys/kernel/config/nullb/ublktest"

static void set_attribute(const char *name, const char *value)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), NULL_DISK "/%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value))
		FAIL("cannot set %s to %s: %s", path, value, strerror(errno));
	close(fd);
}

const char *null_disk_create(const struct null_disk_attribute *attributes)
{
	shell("mount -t configfs config /sys/kernel/config 2> /dev/null; mkdir " NULL_DISK);
	set_attribute("size", "8");
	set_attribute("memory_backed", "1");
	for (; attributes->name; attributes++)
		set_attribute(attributes->name, attributes->value);
	set_attribute("power", "1");
	/* Older drivers number their disks. */
	return access("/dev/ublktest", F_OK) == 0 ? "/dev/ublktest" : "/dev/nullb1";
}

void null_disk_remove(void)
{
	shell("rmdir " NULL_DISK);
}

/* Each 8 bytes tell where they belong and when they were written. */
void fill_pattern(void *buffer, size_t len, uint64_t offset, uint32_t seed)
{
	uint64_t *words = buffer;

	for (size_t i = 0; i < len / 8; i++)
		words[i] = (offset / 8 + i) << 20 ^ (uint64_t)seed * 0x9e3779b97f4a7c15ULL;
}

bool check_pattern(const void *buffer, size_t len, uint64_t offset, uint32_t seed)
{
	const uint64_t *words = buffer;

	for (size_t i = 0; i < len / 8; i++) {
		uint64_t expected = (offset / 8 + i) << 20 ^ (uint64_t)seed * 0x9e3779b97f4a7c15ULL;

		if (words[i] != expected) {
			fprintf(stderr, "at %llu: %016llx, not %016llx\n",
				(unsigned long long)(offset + i * 8), (unsigned long long)words[i],
				(unsigned long long)expected);
			return false;
		}
	}
	return true;
}

bool is_zero(const void *buffer, size_t len)
{
	const unsigned char *bytes = buffer;

	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

void *alloc_buffer(size_t len)
{
	void *buffer = NULL;

	CHECK(posix_memalign(&buffer, 4096, len) == 0);
	memset(buffer, 0, len);
	return buffer;
}

void write_all(int fd, const void *buffer, size_t len, off_t offset)
{
	ssize_t ret = pwrite(fd, buffer, len, offset);

	CHECK(ret == (ssize_t)len);
}

void read_all(int fd, void *buffer, size_t len, off_t offset)
{
	ssize_t ret = pread(fd, buffer, len, offset);

	CHECK(ret == (ssize_t)len);
}
