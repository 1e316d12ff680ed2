/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's counters, read from files as it writes them, and what `stat` makes of them. */
#include <glib/gstdio.h>
#include <math.h>

#include "disk-stats.h"
#include "graph.h"

struct folder {
	char *path;
	struct disk_stats_roots roots;
};

static struct folder make_folder(void)
{
	char *path = g_dir_make_tmp("ublk-stats-XXXXXX", NULL);

	g_assert_nonnull(path);
	return (struct folder){ path, { path, path } };
}

static void remove_all(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *inner = g_build_filename(path, name, NULL);

		remove_all(inner);
	}
	g_assert_no_errno(g_remove(path));
}

static void remove_folder(struct folder *folder)
{
	remove_all(folder->path);
	g_free(folder->path);
}

static void write_file(const struct folder *folder, const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(folder->path, name, NULL);
	g_autofree char *parent = g_path_get_dirname(path);

	g_assert_no_errno(g_mkdir_with_parents(parent, 0700));
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A look at a moment that the test decides on. */
static DiskStats *look(const struct folder *folder, guint32 pid, gint64 at)
{
	DiskStats *stats = disk_stats_take(&folder->roots, 7, pid);

	stats->at = at;
	return stats;
}

static void assert_near(double value, double expected)
{
	g_assert_cmpfloat_with_epsilon(value, expected, 1e-9);
}

static void test_disk(void)
{
	struct folder folder = make_folder();
	g_autoptr(DiskStats) before = NULL;
	g_autoptr(DiskStats) after = NULL;
	struct disk_rates rates;

	write_file(
		&folder, "ublkb7/stat",
		"     100        0      800       50      10        0       80       20        0  "
		"     60       70        5        0     4096        5        2        4\n");
	write_file(&folder, "ublkb7/inflight", "       0        0\n");
	before = look(&folder, 0, 1000000);
	/* Two seconds: 1000 reads of 4 KiB, 200 ms in all; 10 writes; no discard; 4 flushes. */
	write_file(
		&folder, "ublkb7/stat",
		"    1100        9     8800      250      20        0      100       70        3  "
		"    1060     4070        5        0     4096        5        6       12\n");
	write_file(&folder, "ublkb7/inflight", "       2        1\n");
	after = look(&folder, 0, 3000000);
	rates = disk_stats_compare(before, after);
	assert_near(rates.requests[DISK_READ], 500);
	assert_near(rates.bytes[DISK_READ], 8000 * 512 / 2.0);
	assert_near(rates.latency[DISK_READ], 0.0002);
	assert_near(rates.requests[DISK_WRITE], 5);
	assert_near(rates.bytes[DISK_WRITE], 20 * 512 / 2.0);
	assert_near(rates.latency[DISK_WRITE], 0.005);
	assert_near(rates.requests[DISK_DISCARD], 0);
	/* The mean of nothing is not 0. */
	g_assert_true(isnan(rates.latency[DISK_DISCARD]));
	assert_near(rates.requests[DISK_FLUSH], 2);
	assert_near(rates.latency[DISK_FLUSH], 0.002);
	assert_near(rates.all_requests, 507);
	assert_near(rates.depth, 2);
	assert_near(rates.in_flight, 3);
	assert_near(rates.busy, 0.5);
	g_assert_true(isnan(rates.cpu));
	/* Another device with that number: not what the first one did, backwards. */
	rates = disk_stats_compare(after, before);
	g_assert_true(isnan(rates.requests[DISK_READ]));
	g_assert_true(isnan(rates.all_requests));
	g_assert_true(isnan(rates.depth));
	remove_folder(&folder);
}

static void test_no_disk(void)
{
	struct folder folder = make_folder();
	g_autoptr(DiskStats) nothing = look(&folder, 0, 0);
	g_autoptr(DiskStats) cut = NULL;
	g_autoptr(DiskStats) later = NULL;
	struct disk_rates rates;

	write_file(&folder, "ublkb7/stat", "1 2 3");
	write_file(&folder, "ublkb7/inflight", "0 0");
	cut = look(&folder, 0, 1000000);
	g_assert_false(cut->disk_known);
	later = look(&folder, 0, 2000000);
	rates = disk_stats_compare(nothing, later);
	g_assert_true(isnan(rates.requests[DISK_READ]) && isnan(rates.all_requests) &&
		      isnan(rates.in_flight) && isnan(rates.busy) && isnan(rates.depth));
	remove_folder(&folder);
}

#define STAT_OF(start) "42 (a ) b) S 1 42 42 0 -1 0 0 0 0 0 7 8 0 0 20 0 2 0 " start " 1 2 3\n"

static void write_disk(const struct folder *folder, const char *reads)
{
	g_autofree char *text = g_strdup_printf("%s 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", reads);

	write_file(folder, "ublkb7/stat", text);
	write_file(folder, "ublkb7/inflight", "0 0\n");
}

/* Threads that come are counted from their beginning, and those that go take nothing with them. */
static void test_server(void)
{
	struct folder folder = make_folder();
	g_autofree char *worker = g_build_filename(folder.path, "42/task/44/schedstat", NULL);
	g_autoptr(DiskStats) first = NULL;
	g_autoptr(DiskStats) second = NULL;
	g_autoptr(DiskStats) third = NULL;
	g_autoptr(DiskStats) other = NULL;
	struct disk_rates rates;

	write_disk(&folder, "0");
	write_file(&folder, "42/stat", STAT_OF("12345"));
	write_file(&folder, "42/task/42/schedstat", "1000000000 5 6\n");
	write_file(&folder, "42/task/43/schedstat", "500000000 5 6\n");
	first = look(&folder, 42, 0);
	write_disk(&folder, "10000");
	write_file(&folder, "42/task/43/schedstat", "700000000 5 6\n");
	write_file(&folder, "42/task/44/schedstat", "300000000 5 6\n");
	second = look(&folder, 42, 1000000);
	rates = disk_stats_compare(first, second);
	assert_near(rates.cpu, 0.5);
	assert_near(rates.cpu_per_request, 50e-6);
	g_assert_no_errno(g_remove(worker));
	third = look(&folder, 42, 2000000);
	rates = disk_stats_compare(second, third);
	assert_near(rates.cpu, 0);
	/* No request, no mean. */
	g_assert_true(isnan(rates.cpu_per_request));
	/* Another process with the number. */
	write_file(&folder, "42/stat", STAT_OF("99999"));
	other = look(&folder, 42, 3000000);
	rates = disk_stats_compare(third, other);
	g_assert_true(isnan(rates.cpu));
	remove_folder(&folder);
}

/* In a container a server's number is another process's there. */
static void test_other_numbers(void)
{
	struct folder folder = make_folder();
	g_autoptr(DiskStats) before = NULL;
	g_autoptr(DiskStats) after = NULL;

	folder.roots.proc = NULL;
	write_disk(&folder, "0");
	write_file(&folder, "42/stat", STAT_OF("12345"));
	write_file(&folder, "42/task/42/schedstat", "1000000000 5 6\n");
	before = look(&folder, 42, 0);
	after = look(&folder, 42, 1000000);
	g_assert_true(isnan(disk_stats_compare(before, after).cpu));
	remove_folder(&folder);
}

static void assert_graph(const struct graph *graph, int width, gboolean graphics,
			 const char *expected)
{
	struct terminal terminal = { .graphics = graphics };
	g_autofree char *text = graph_draw(graph, width, &terminal);

	g_assert_cmpstr(text, ==, expected);
}

static void test_graph(void)
{
	struct graph graph = { 0 };

	assert_graph(&graph, 4, TRUE, "    ");
	graph_add(&graph, 0);
	graph_add(&graph, 100);
	graph_add(&graph, 1);
	graph_add(&graph, NAN);
	graph_add(&graph, 50);
	assert_graph(&graph, 8, TRUE, "    █▁ ▅");
	assert_graph(&graph, 8, FALSE, "    #. +");
	/* What has gone by counts no more. */
	assert_graph(&graph, 3, TRUE, "▁ █");
	for (int i = 0; i < GRAPH_MAX; i++)
		graph_add(&graph, 7);
	assert_graph(&graph, 2, TRUE, "██");
	/* A terminal that is wider than what is kept. */
	{
		struct terminal terminal = { 0 };
		g_autofree char *text = graph_draw(&graph, 1000, &terminal);

		g_assert_cmpint(strlen(text), ==, GRAPH_MAX);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/stats/disk", test_disk);
	g_test_add_func("/client/stats/no-disk", test_no_disk);
	g_test_add_func("/client/stats/server", test_server);
	g_test_add_func("/client/stats/other-numbers", test_other_numbers);
	g_test_add_func("/client/stats/graph", test_graph);
	return g_test_run();
}
