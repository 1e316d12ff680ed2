/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flushes of one file by several queues. See flush-group.h. */
#include "flush-group.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int flush_group_init(struct flush_group *group)
{
	*group = (struct flush_group){ .wake_fd = -1 };
	pthread_mutex_init(&group->lock, NULL);
	/* Each read takes one. Blocking: io_uring lets a reader wait only where the file would. */
	group->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	return group->wake_fd < 0 ? -errno : 0;
}

void flush_group_exit(struct flush_group *group)
{
	if (group->wake_fd >= 0)
		close(group->wake_fd);
	pthread_mutex_destroy(&group->lock);
}

uint64_t flush_group_take_ticket(struct flush_group *group)
{
	uint64_t ticket;

	pthread_mutex_lock(&group->lock);
	ticket = group->begun + 1;
	pthread_mutex_unlock(&group->lock);
	return ticket;
}

enum flush_group_next flush_group_ask(struct flush_group *group, uint64_t ticket)
{
	enum flush_group_next next;

	pthread_mutex_lock(&group->lock);
	if (group->ended >= ticket) {
		next = FLUSH_GROUP_DONE;
	} else if (group->begun == group->ended) {
		group->begun++;
		next = FLUSH_GROUP_RUN;
	} else {
		group->waiting++;
		next = FLUSH_GROUP_WAIT;
	}
	pthread_mutex_unlock(&group->lock);
	return next;
}

void flush_group_woken(struct flush_group *group)
{
	pthread_mutex_lock(&group->lock);
	group->waiting--;
	pthread_mutex_unlock(&group->lock);
}

/*
 * As many tokens as there are readers. One of those becomes the next to run; who has to go on
 * waiting reads again and may take another's token, but is then one of those whom the end of that
 * next fsync() wakes, as is whoever was left without.
 */
void flush_group_end(struct flush_group *group)
{
	unsigned int waiting;

	pthread_mutex_lock(&group->lock);
	group->ended = group->begun;
	waiting = group->waiting;
	pthread_mutex_unlock(&group->lock);
	if (waiting)
		eventfd_write(group->wake_fd, waiting);
}
