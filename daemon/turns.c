/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "turns.h"

#include <time.h>

#include "bucket.h"
#include "descriptor.h"

/* Calls that are taken and not done. */
#define MAX_TAKEN 8
/*
 * Calls of one connection that wait or are taken, by weight: as many as the bus lets it wait for
 * the answers of. Who waits for answers then sends no more; a refusal would only make it send the
 * next.
 */
#define MAX_WAITING 128
/* Turns that a user has at once who has had none for a while. */
#define BURST 128
/* A user's calls take no more of one processor's time than one part in so many. */
#define SHARE 10
/* A call is charged no more than so many microseconds: the rest is not its doing. */
#define MAX_COST 10000
/* Users that are kept in mind although they have no connection. */
#define MAX_IDLE 64

typedef struct {
	uid_t uid;
	guint n_senders;
	GQueue senders; /* of TurnsSender: those with calls that wait, who is next first */
	Bucket bucket;  /* of turns */
} User;

struct TurnsSender {
	char *name;
	User *user;       /* NULL: it is not known yet whose it is */
	guint weight;     /* of all of its calls */
	GQueue calls;     /* of Call: those that wait */
	gboolean is_gone; /* and freed with the last of its calls */
};

static GMutex lock;                 /* of all that follows */
static GHashTable *senders;         /* name → TurnsSender */
static GHashTable *users;           /* uid → User */
static GQueue turns = G_QUEUE_INIT; /* of User: those with calls that wait, who is next first */
static GQueue taken = G_QUEUE_INIT; /* of Call: those that turns_next() has not returned */
static guint n_taken;
static gint64 interval = G_USEC_PER_SEC / 100; /* at least, between two turns of a user */
static gint64 cost;                            /* of ublkd's own processor time, for a call */

void turns_set_interval(gint64 usec)
{
	g_mutex_lock(&lock);
	interval = usec;
	g_mutex_unlock(&lock);
}

/* How long it is to a user's next turn: on a slow or busy machine as long as it needs to be. */
static gint64 get_interval(void)
{
	return MAX(interval, cost * SHARE);
}

/* A call is taken: what the others have cost, on average. */
static void note_cost(void)
{
	static gint64 before;
	struct timespec time;
	gint64 used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	used = time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
	cost += (MIN(used - before, MAX_COST) - cost) / 16;
	before = used;
}

/* ---- users ---- */

/* It has calls that wait: they get turns, once it is known whose. */
static void queue(TurnsSender *sender)
{
	if (!sender->user)
		return;
	if (g_queue_is_empty(&sender->user->senders))
		g_queue_push_tail(&turns, sender->user);
	g_queue_push_tail(&sender->user->senders, sender);
}

static void unqueue(TurnsSender *sender)
{
	if (!sender->user || !g_queue_remove(&sender->user->senders, sender))
		return;
	if (g_queue_is_empty(&sender->user->senders))
		g_queue_remove(&turns, sender->user);
}

static void fill(User *user, gint64 now)
{
	bucket_fill(&user->bucket, BURST, (gdouble)get_interval(), now);
}

static gboolean is_forgettable(gpointer key, gpointer value, gpointer unused)
{
	User *user = value;

	fill(user, g_get_monotonic_time());
	return user->n_senders == 0 && user->bucket.tokens >= BURST;
}

/* Who leaves and comes back has had the turns it has had. */
static User *find_user(uid_t uid)
{
	User *user = g_hash_table_lookup(users, GUINT_TO_POINTER(uid));

	if (user)
		return user;
	if (g_hash_table_size(users) >= MAX_IDLE)
		g_hash_table_foreach_remove(users, is_forgettable, NULL);
	user = g_new0(User, 1);
	user->uid = uid;
	user->bucket = (Bucket){ BURST, g_get_monotonic_time() };
	g_hash_table_insert(users, GUINT_TO_POINTER(uid), user);
	return user;
}

/* When `user` has its next turn: 0 is now. */
static gint64 get_due(User *user, gint64 now)
{
	gdouble missing;

	fill(user, now);
	missing = 1 - user->bucket.tokens;
	return user->uid == 0 || missing <= 0
		       ? 0
		       : now + (gint64)(missing * (gdouble)get_interval()) + 1;
}

/* ---- connections ---- */

/* In `senders` until it leaves the bus: it is asked for once whose it is. */
static TurnsSender *find_sender(const char *name, gboolean *is_new)
{
	TurnsSender *sender;

	if (!senders) {
		senders = g_hash_table_new(g_str_hash, g_str_equal);
		users = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
	}
	sender = g_hash_table_lookup(senders, name);
	*is_new = !sender;
	if (sender)
		return sender;
	sender = g_new0(TurnsSender, 1);
	sender->name = g_strdup(name);
	g_hash_table_insert(senders, sender->name, sender);
	return sender;
}

static void end_sender(TurnsSender *sender)
{
	if (!sender->is_gone || sender->weight)
		return;
	if (sender->user)
		sender->user->n_senders--;
	g_free(sender->name);
	g_free(sender);
}

void turns_introduce(const char *name, uid_t uid)
{
	TurnsSender *sender;

	g_mutex_lock(&lock);
	sender = senders ? g_hash_table_lookup(senders, name) : NULL;
	/* the bus did not tell before, and was asked once more */
	if (sender && sender->user && sender->user->uid == DESCRIPTOR_OF_NOBODY) {
		unqueue(sender);
		sender->user->n_senders--;
		sender->user = NULL;
	}
	if (sender && !sender->user) {
		sender->user = find_user(uid);
		sender->user->n_senders++;
		if (!g_queue_is_empty(&sender->calls))
			queue(sender);
	}
	g_mutex_unlock(&lock);
}

gboolean turns_know(const char *name)
{
	gboolean known;

	g_mutex_lock(&lock);
	known = senders && g_hash_table_contains(senders, name);
	g_mutex_unlock(&lock);
	return known;
}

GSList *turns_forget(const char *name, uid_t *uid)
{
	TurnsSender *sender;
	GSList *left = NULL;
	Call *call;

	*uid = (uid_t)-1;
	g_mutex_lock(&lock);
	sender = senders ? g_hash_table_lookup(senders, name) : NULL;
	if (sender) {
		if (sender->user)
			*uid = sender->user->uid;
		g_hash_table_remove(senders, name);
		sender->is_gone = TRUE;
		unqueue(sender);
		while ((call = g_queue_pop_head(&sender->calls))) {
			sender->weight -= call->weight;
			if (call->fds)
				left = g_slist_prepend(left, call->fds);
			g_free(call->message);
			g_free(call);
		}
		end_sender(sender);
	}
	g_mutex_unlock(&lock);
	return left;
}

/* ---- calls ---- */

Call *turns_enter(const char *name, guint weight, gboolean *is_new)
{
	TurnsSender *sender;
	Call *call = NULL;

	g_mutex_lock(&lock);
	sender = find_sender(name, is_new);
	/* with nothing here, one is let in whatever its size */
	if (sender->weight == 0 || sender->weight + weight <= MAX_WAITING) {
		sender->weight += weight;
		call = g_new0(Call, 1);
		call->sender = sender;
		call->weight = weight;
	}
	g_mutex_unlock(&lock);
	return call;
}

void turns_wait(Call *call)
{
	TurnsSender *sender = call->sender;

	g_mutex_lock(&lock);
	g_queue_push_tail(&sender->calls, call);
	if (g_queue_get_length(&sender->calls) == 1)
		queue(sender);
	g_mutex_unlock(&lock);
}

/* Of a user who has a turn now. */
static Call *take_of(User *user)
{
	TurnsSender *sender = g_queue_pop_head(&user->senders);
	Call *call = g_queue_pop_head(&sender->calls);

	if (!g_queue_is_empty(&sender->calls))
		g_queue_push_tail(&user->senders, sender);
	g_queue_remove(&turns, user);
	if (!g_queue_is_empty(&user->senders))
		g_queue_push_tail(&turns, user);
	note_cost();
	user->bucket.tokens--;
	n_taken++;
	g_queue_push_tail(&taken, call);
	return call;
}

Call *turns_take(gint64 *due)
{
	gint64 now = g_get_monotonic_time();
	Call *call = NULL;

	*due = 0;
	g_mutex_lock(&lock);
	for (GList *l = n_taken < MAX_TAKEN ? turns.head : NULL; l && !call;) {
		User *user = l->data;
		gint64 next = get_due(user, now);

		l = l->next;
		if (next == 0)
			call = take_of(user);
		else if (*due == 0 || next < *due)
			*due = next;
	}
	g_mutex_unlock(&lock);
	return call;
}

Call *turns_next(void)
{
	Call *call;

	g_mutex_lock(&lock);
	call = g_queue_pop_head(&taken);
	g_mutex_unlock(&lock);
	return call;
}

void turns_done(Call *call)
{
	g_mutex_lock(&lock);
	n_taken--;
	call->sender->weight -= call->weight;
	end_sender(call->sender);
	g_mutex_unlock(&lock);
	g_free(call);
}
