/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a block device and its server have done so far, by the kernel's counters, and what that is
 * per second and per request between two looks.
 */
#pragma once

#include <glib.h>

enum disk_stats_kind { DISK_READ, DISK_WRITE, DISK_DISCARD, DISK_FLUSH, N_DISK_KINDS };

/* Where the files are; other folders for tests. */
struct disk_stats_roots {
	const char *block; /* /sys/block */
	const char *proc;  /* /proc; NULL: its process numbers are not ublkd's */
};

/* /sys and /proc of this machine, as far as they are those that ublkd sees. */
struct disk_stats_roots disk_stats_get_roots(void);

/* One look. Anything may be unknown: a device goes, a server ends. */
typedef struct disk_stats {
	gint64 at; /* monotonic, microseconds */
	gboolean disk_known;
	guint64 requests[N_DISK_KINDS];
	guint64 bytes[N_DISK_KINDS];
	guint64 ticks[N_DISK_KINDS]; /* milliseconds that requests took in all */
	guint64 busy;                /* milliseconds with anything in flight */
	guint64 queued;              /* milliseconds, for each request in flight */
	guint in_flight;
	/* The server: which process, and nanoseconds of processor time by thread. */
	guint32 pid;
	guint64 started; /* 0: not known */
	GHashTable *threads;
} DiskStats;

/* Look at /dev/ublkb@id and the process @pid (0: there is none). */
DiskStats *disk_stats_take(const struct disk_stats_roots *roots, guint32 id, guint32 pid);
void disk_stats_free(DiskStats *stats);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DiskStats, disk_stats_free)

/* Between two looks; NAN: not known, or there was nothing to take the mean of. */
struct disk_rates {
	double requests[N_DISK_KINDS]; /* per second */
	double bytes[N_DISK_KINDS];    /* per second */
	double latency[N_DISK_KINDS];  /* seconds, the mean */
	double all_requests;           /* per second, of all kinds */
	double depth;                  /* requests in flight, the mean */
	double in_flight;              /* now */
	double busy;                   /* part of the time, 0 to 1 */
	double cpu;                    /* processors that the server keeps busy */
	double cpu_per_request;        /* seconds */
};

struct disk_rates disk_stats_compare(const DiskStats *before, const DiskStats *after);
