/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quota.h"

#include <unistd.h>

#include "bucket.h"
#include "buffers.h"
#include "daemon.h"
#include "device.h"
#include "error.h"

/*
 * What the kernel allocates for one request of a queue: the request with its driver's part, the
 * descriptor, the io slot. Somewhat more than was measured; the buffers are the server's own
 * memory.
 */
#define TAG_COST 1024

static GHashTable *buckets; /* uid → Bucket, of as many creations as there may be in a minute */

static gboolean is_full(gpointer key, gpointer value, gpointer now)
{
	Bucket *bucket = value;

	return *(gint64 *)now - bucket->at >= 60 * G_USEC_PER_SEC;
}

static void fill(Bucket *bucket, double rate)
{
	bucket_fill(bucket, rate, 60.0 * G_USEC_PER_SEC / rate, g_get_monotonic_time());
}

static Bucket *bucket_get(uid_t uid, double rate)
{
	gint64 now = g_get_monotonic_time();
	Bucket *bucket;

	if (!buckets)
		buckets = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	/* after a minute a bucket is full again, as a new one would be */
	g_hash_table_foreach_remove(buckets, is_full, &now);
	bucket = g_hash_table_lookup(buckets, GUINT_TO_POINTER(uid));
	if (!bucket) {
		bucket = g_new(Bucket, 1);
		bucket->tokens = rate;
		bucket->at = now;
		g_hash_table_insert(buckets, GUINT_TO_POINTER(uid), bucket);
	}
	fill(bucket, rate);
	return bucket;
}

static guint64 queue_memory(guint32 queues, guint32 depth)
{
	/* the driver makes no more queues than there are processors */
	glong cpus = sysconf(_SC_NPROCESSORS_CONF);

	return (guint64)MIN(queues, (guint32)MAX(cpus, 1)) * depth * TAG_COST;
}

gboolean quota_check(uid_t uid, const UserLimits *limits, guint32 queues, guint32 depth,
		     gboolean *beyond, char **why, GError **error)
{
	guint devices_total = settings()->devices_total;
	g_autoptr(GList) devices = device_list();
	guint64 memory = queue_memory(queues, depth);
	guint own = 0, total = 0;

	for (GList *l = devices; l; l = l->next) {
		const Device *device = l->data;

		total++;
		if (device->uid != uid)
			continue;
		own++;
		memory += queue_memory(device->queues, device->depth);
	}
	*beyond = FALSE;
	*why = NULL;
	if (total >= devices_total) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "there are %u devices, and no more than %u are allowed in all "
			    "(devices-total in ublkd.conf)",
			    total, devices_total);
		return FALSE;
	}
	if (bucket_get(uid, limits->creations_per_minute)->tokens < 1) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "user %u makes more than %u devices in a minute "
			    "(creations-per-minute in ublkd.conf); wait a moment",
			    uid, limits->creations_per_minute);
		return FALSE;
	}
	if (own >= limits->devices_per_user)
		*why = g_strdup_printf("user %u has %u devices, and the limit is %u "
				       "(devices-per-user in ublkd.conf)",
				       uid, own, limits->devices_per_user);
	else if (memory > limits->queue_memory_per_user)
		*why = g_strdup_printf(
			"the queues of user %u would take %" G_GUINT64_FORMAT
			" bytes of kernel memory, and the limit is %" G_GUINT64_FORMAT
			" (queue-memory-per-user in ublkd.conf)",
			uid, memory, limits->queue_memory_per_user);
	*beyond = *why != NULL;
	return TRUE;
}

/*
 * Pinned memory cannot be swapped out or moved, and the kernel counts it against no limit of the
 * user's (RLIMIT_MEMLOCK is not looked at), so it is counted here.
 */
gboolean quota_check_shared_memory(uid_t uid, const UserLimits *limits, guint64 size,
				   GError **error)
{
	g_autoptr(GList) devices = device_list();
	guint64 memory = size;
	guint buffers = 1;

	for (GList *l = devices; l; l = l->next) {
		const Device *device = l->data;
		guint count;

		if (device->uid != uid)
			continue;
		memory += buffers_get_size(device, &count);
		buffers += count;
	}
	if (memory > limits->shared_memory_per_user)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "the devices of user %u would share %" G_GUINT64_FORMAT
			    " bytes of memory, and the limit is %" G_GUINT64_FORMAT
			    " (shared-memory-per-user in ublkd.conf)",
			    uid, memory, limits->shared_memory_per_user);
	else if (buffers > limits->shared_buffers_per_user)
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_LIMIT_EXCEEDED,
			    "the devices of user %u would have %u shared buffers, and the limit is "
			    "%u (shared-buffers-per-user in ublkd.conf)",
			    uid, buffers, limits->shared_buffers_per_user);
	else
		return TRUE;
	return FALSE;
}

void quota_note_creation(uid_t uid, const UserLimits *limits)
{
	bucket_get(uid, limits->creations_per_minute)->tokens -= 1;
}

/* Whoever may ask for everybody's shall not make a bucket of each number that there is. */
static guint count_creations(uid_t uid, guint rate)
{
	Bucket *bucket = buckets ? g_hash_table_lookup(buckets, GUINT_TO_POINTER(uid)) : NULL;

	if (!bucket)
		return 0;
	fill(bucket, rate);
	return bucket->tokens < rate ? rate - (guint)MAX(bucket->tokens, 0) : 0;
}

UserLimits quota_get_use(uid_t uid, const UserLimits *limits, guint *devices_total)
{
	g_autoptr(GList) devices = device_list();
	UserLimits use = { 0 };

	*devices_total = 0;
	for (GList *l = devices; l; l = l->next) {
		const Device *device = l->data;
		guint buffers;

		++*devices_total;
		if (device->uid != uid)
			continue;
		use.devices_per_user++;
		use.queue_memory_per_user += queue_memory(device->queues, device->depth);
		use.shared_memory_per_user += buffers_get_size(device, &buffers);
		use.shared_buffers_per_user += buffers;
	}
	use.creations_per_minute = count_creations(uid, limits->creations_per_minute);
	return use;
}
