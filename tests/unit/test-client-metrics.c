/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Prometheus is told: exactly this text, whatever a device is called. */
#include "device.h"
#include "metrics.h"

static void no_daemon(void)
{
	MetricsSource source = { .devices = NULL };
	g_autofree char *text = metrics_format(&source);

	g_assert_cmpstr(text, ==,
			"# HELP ublkd_up Whether ublkd runs: the first call on the bus starts it.\n"
			"# TYPE ublkd_up gauge\n"
			"ublkd_up 0\n");
}

static void devices_and_counters(void)
{
	g_autoptr(GVariant) properties = g_variant_ref_sink(g_variant_new_parsed(
		"{'Id': <uint32 7>, 'Name': <'a\"} 1\\n\\\\'>, 'OwnerUid': <uint32 1000>,"
		" 'State': <'live'>, 'Target': <'loop'>, 'Size': <uint64 1048576>,"
		" 'ReadOnly': <true>, 'BlockDevice': <'/dev/ublkb7'>,"
		" 'SharedMemory': <uint64 4096>, 'CreatedAt': <uint64 1700000000999999>}"));
	g_autoptr(GVariant) counters = g_variant_ref_sink(
		g_variant_new_parsed("{'live': uint64 3, 'refused': 18446744073709551615}"));
	g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
	MetricsSource source = { devices, counters, 60 };
	g_autofree char *text = NULL;

	g_ptr_array_add(devices, device_new("/org/ublk1/devices/7", properties));
	text = metrics_format(&source);
	g_assert_cmpstr(
		text, ==,
		"# HELP ublkd_up Whether ublkd runs: the first call on the bus starts it.\n"
		"# TYPE ublkd_up gauge\n"
		"ublkd_up 1\n"
		"# HELP ublk_devices How many devices there are.\n"
		"# TYPE ublk_devices gauge\n"
		"ublk_devices 1\n"
		"# HELP ublk_devices_limit devices-total of ublkd.conf.\n"
		"# TYPE ublk_devices_limit gauge\n"
		"ublk_devices_limit 60\n"
		"# HELP ublk_device_info A device; whose it is, what serves it, its state.\n"
		"# TYPE ublk_device_info gauge\n"
		"ublk_device_info{device=\"ublkb7\",name=\"a\\\"} 1\\n\\\\\",owner=\"1000\","
		"target=\"loop\",state=\"live\",read_only=\"true\"} 1\n"
		"# HELP ublk_device_size_bytes A device's size.\n"
		"# TYPE ublk_device_size_bytes gauge\n"
		"ublk_device_size_bytes{device=\"ublkb7\"} 1048576\n"
		"# HELP ublk_device_shared_memory_bytes Memory that is shared with a device.\n"
		"# TYPE ublk_device_shared_memory_bytes gauge\n"
		"ublk_device_shared_memory_bytes{device=\"ublkb7\"} 4096\n"
		"# HELP ublk_device_created_timestamp_seconds When a device was made.\n"
		"# TYPE ublk_device_created_timestamp_seconds gauge\n"
		"ublk_device_created_timestamp_seconds{device=\"ublkb7\"} 1700000000\n"
		"# HELP ublkd_events_total What has happened since ublkd was started, by the names "
		"of Manager.GetCounters.\n"
		"# TYPE ublkd_events_total counter\n"
		"ublkd_events_total{event=\"live\"} 3\n"
		"ublkd_events_total{event=\"refused\"} 18446744073709551615\n");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/metrics/no-daemon", no_daemon);
	g_test_add_func("/metrics/devices-and-counters", devices_and_counters);
	return g_test_run();
}
