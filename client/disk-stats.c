/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk-stats.h"

#include <math.h>
#include <string.h>

#define SECTOR 512
/* The inode of the first PID namespace, which the kernel fixes (PROC_PID_INIT_INO). */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"

struct disk_stats_roots disk_stats_get_roots(void)
{
	g_autofree char *namespace = g_file_read_link("/proc/self/ns/pid", NULL);
	struct disk_stats_roots roots = { .block = "/sys/block" };

	/* In a container the number of a server would be some other process. */
	if (g_strcmp0(namespace, FIRST_PID_NAMESPACE) == 0)
		roots.proc = "/proc";
	return roots;
}

/* The numbers of a file, divided by blanks; returns how many there are, at most @n. */
static gsize read_numbers(const char *path, guint64 *numbers, gsize n)
{
	g_autofree char *text = NULL;
	const char *p;
	char *end;
	gsize i;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	p = text;
	for (i = 0; i < n; i++, p = end) {
		numbers[i] = g_ascii_strtoull(p, &end, 10);
		if (end == p)
			break;
	}
	return i;
}

/* Documentation/block/stat.rst: reads, writes, discards of Linux 4.18, flushes of 5.5. */
static void take_disk(DiskStats *stats, const char *folder)
{
	/* Where a kind's group begins: requests, merges, sectors, milliseconds. */
	static const int groups[] = { [DISK_READ] = 0, [DISK_WRITE] = 4, [DISK_DISCARD] = 11 };
	g_autofree char *stat = g_build_filename(folder, "stat", NULL);
	g_autofree char *inflight = g_build_filename(folder, "inflight", NULL);
	guint64 n[17] = { 0 }, now[2] = { 0 };

	stats->disk_known = read_numbers(stat, n, G_N_ELEMENTS(n)) == G_N_ELEMENTS(n) &&
			    read_numbers(inflight, now, G_N_ELEMENTS(now)) == G_N_ELEMENTS(now);
	for (gsize kind = 0; kind < G_N_ELEMENTS(groups); kind++) {
		const guint64 *group = n + groups[kind];

		stats->requests[kind] = group[0];
		stats->bytes[kind] = group[2] * SECTOR;
		stats->ticks[kind] = group[3];
	}
	stats->requests[DISK_FLUSH] = n[15];
	stats->ticks[DISK_FLUSH] = n[16];
	stats->busy = n[9];
	stats->queued = n[10];
	stats->in_flight = (guint)(now[0] + now[1]);
}

/* When a process began, by which it differs from an earlier one with its number; 0: not known. */
static guint64 get_start(const char *folder)
{
	/* The fields behind the name, which may have anything in it: state is the first, number 3.
	 */
	enum { START = 22 - 3 };
	g_autofree char *path = g_build_filename(folder, "stat", NULL);
	g_autofree char *text = NULL;
	g_auto(GStrv) fields = NULL;
	const char *name_end;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	name_end = strrchr(text, ')');
	if (!name_end || !name_end[1])
		return 0;
	fields = g_strsplit(name_end + 2, " ", START + 2);
	return g_strv_length(fields) > START ? g_ascii_strtoull(fields[START], NULL, 10) : 0;
}

/*
 * By thread: io_uring's workers come and go, and with them what they used would go from a sum.
 * schedstat has nanoseconds; the process's own stat would have ticks of 10 ms.
 */
static void take_threads(DiskStats *stats, const char *folder)
{
	g_autofree char *tasks = g_build_filename(folder, "task", NULL);
	g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
	const char *thread;

	while (dir && (thread = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(tasks, thread, "schedstat", NULL);
		guint64 *used = g_new(guint64, 1);

		if (read_numbers(path, used, 1) == 1)
			g_hash_table_insert(stats->threads, g_strdup(thread), used);
		else
			g_free(used);
	}
}

DiskStats *disk_stats_take(const struct disk_stats_roots *roots, guint32 id, guint32 pid)
{
	g_autofree char *disk = g_strdup_printf("%s/ublkb%u", roots->block, id);
	DiskStats *stats = g_new0(DiskStats, 1);

	stats->threads = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	stats->pid = pid;
	take_disk(stats, disk);
	if (pid && roots->proc) {
		g_autofree char *process = g_strdup_printf("%s/%u", roots->proc, pid);

		stats->started = get_start(process);
		take_threads(stats, process);
	}
	stats->at = g_get_monotonic_time();
	return stats;
}

void disk_stats_free(DiskStats *stats)
{
	g_hash_table_unref(stats->threads);
	g_free(stats);
}

/* Counters that run backwards are another device's, or another process's. */
static double subtract(guint64 after, guint64 before)
{
	return after >= before ? (double)(after - before) : NAN;
}

static double divide(double what, double by)
{
	return by > 0 ? what / by : NAN;
}

/* Seconds of processor time. */
static double compare_threads(const DiskStats *before, const DiskStats *after)
{
	GHashTableIter iter;
	gpointer thread, used;
	double sum = 0;

	if (!after->started || before->pid != after->pid || before->started != after->started ||
	    g_hash_table_size(after->threads) == 0)
		return NAN;
	g_hash_table_iter_init(&iter, after->threads);
	while (g_hash_table_iter_next(&iter, &thread, &used)) {
		const guint64 *then = g_hash_table_lookup(before->threads, thread);

		sum += subtract(*(guint64 *)used, then ? *then : 0);
	}
	return sum / 1e9;
}

struct disk_rates disk_stats_compare(const DiskStats *before, const DiskStats *after)
{
	double seconds = (double)(after->at - before->at) / G_USEC_PER_SEC;
	/* Whatever is multiplied by it is NAN where a counter is not known. */
	double known = before->disk_known && after->disk_known ? 1 : NAN;
	double cpu = compare_threads(before, after);
	struct disk_rates rates = { 0 };

	for (int kind = 0; kind < N_DISK_KINDS; kind++) {
		double requests = known * subtract(after->requests[kind], before->requests[kind]);
		double ticks = known * subtract(after->ticks[kind], before->ticks[kind]);

		rates.requests[kind] = divide(requests, seconds);
		rates.bytes[kind] =
			divide(known * subtract(after->bytes[kind], before->bytes[kind]), seconds);
		rates.latency[kind] = divide(ticks / 1000, requests);
		rates.all_requests += rates.requests[kind];
	}
	rates.depth = divide(known * subtract(after->queued, before->queued) / 1000, seconds);
	rates.busy = divide(known * subtract(after->busy, before->busy) / 1000, seconds);
	/* The kernel counts in jiffies, and the interval is a little longer or shorter than that.
	 */
	rates.busy = rates.busy > 1 ? 1 : rates.busy;
	rates.in_flight = known * after->in_flight;
	rates.cpu = divide(cpu, seconds);
	rates.cpu_per_request = divide(rates.cpu, rates.all_requests);
	return rates;
}
