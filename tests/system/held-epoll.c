/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * held-epoll PROGRAM [ARGUMENT…] : run the program with descriptor 10, an epoll whose lock is held
 * meanwhile. epoll_wait() copies the events out with it held, here to a page that userfaultfd never
 * fills. Whoever looks at the descriptor more closely, by /proc for instance, waits for the lock.
 * (sysctl vm.unprivileged_userfaultfd=1; FUSE would do without.)
 */
#include <err.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTOR 10

static void *hold(void *page)
{
	epoll_wait(DESCRIPTOR, page, 1, -1);
	return NULL;
}

int main(int argc, char **argv)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd fault = { .events = POLLIN };
	int epoll, ready, status;
	pthread_t thread;
	pid_t child;
	void *page;

	if (argc < 2)
		errx(2, "usage: held-epoll PROGRAM [ARGUMENT…]");
	fault.fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fault.fd < 0 || ioctl(fault.fd, UFFDIO_API, &api) < 0)
		err(1, "userfaultfd");
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (unsigned long)page;
	range.range.len = size;
	if (page == MAP_FAILED || ioctl(fault.fd, UFFDIO_REGISTER, &range) < 0)
		err(1, "UFFDIO_REGISTER");
	epoll = epoll_create1(EPOLL_CLOEXEC);
	ready = eventfd(1, EFD_CLOEXEC);
	if (epoll < 0 || ready < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, ready, &event) < 0 ||
	    dup2(epoll, DESCRIPTOR) < 0)
		err(1, "epoll");
	if (pthread_create(&thread, NULL, hold, page) != 0)
		errx(1, "no thread");
	if (poll(&fault, 1, -1) != 1)
		err(1, "poll");
	child = fork();
	if (child == 0) {
		execv(argv[1], argv + 1);
		err(127, "%s", argv[1]);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		err(1, "%s", argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
