/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ublkd says to a server that is running, on the socket that brought its report: which shared
 * memory it gets, and which it loses (docs/shared-memory.md has the messages). The other end is the
 * user's process: nothing is believed, nothing is waited for in the main loop, and nothing is read
 * but while an answer is due.
 */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

typedef struct Channel Channel;

/* `served`: how many requests it has served from the memory, as it says. `error` is borrowed. */
typedef void (*ChannelDone)(guint64 served, const GError *error, gpointer user_data);

/*
 * Takes `fd`, a SOCK_SEQPACKET socket to a server of user `uid`. `serial` is where the counting of
 * questions begins: where another process has asked before on the same socket, at a random number,
 * so that a late answer to that one is not taken for ours. Free with channel_free(), also while an
 * answer is due: its callback then does not come.
 */
Channel *channel_new(int fd, uid_t uid, guint32 serial);
void channel_free(Channel *channel);

/*
 * Hand over, or take back, the memory with this index. `done` is called exactly once, later, from
 * the main loop. One question at a time. A server that does not answer within timeout_ms, or not
 * to the point, is asked nothing any more: all later questions fail.
 */
void channel_give(Channel *channel, guint index, guint64 size, gboolean read_only, int fd,
		  guint timeout_ms, ChannelDone done, gpointer user_data);
void channel_take(Channel *channel, guint index, guint timeout_ms, ChannelDone done,
		  gpointer user_data);
