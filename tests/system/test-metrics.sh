#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# What Prometheus reads: devices and what ublkd has counted, in a file that the timer's service writes, and without starting ublkd.
. "$(dirname "$0")/devices.sh"

# metric SAMPLE < TEXT : its value
metric() {
	awk -v sample="$1" '$1 == sample { print $2 }'
}
directory=/var/lib/prometheus/node-exporter
file=$directory/ublk.prom
[ ! -e /var/lib/prometheus ] || fail "there is a Prometheus"
at_exit rm -rf /var/lib/prometheus
at_exit systemctl stop ublk-metrics.timer

# Where there is no node exporter nothing is written, and nothing fails.
systemctl stop ublkd
systemctl start ublk-metrics.service
[ ! -e /var/lib/prometheus ] || fail "the service makes a directory that nobody reads"
# Its directory is another user's, as in Debian.
mkdir -p $directory
chown bob: $directory
systemctl start ublk-metrics.service
assert_eq "$(metric ublkd_up < $file)" 0 "ublkd_up"
assert_eq "$(systemctl is-active ublkd || true)" inactive "ublkd after it was looked for"
assert_eq "$(stat -c '%U %a' $file)" "root 644" "owner and mode of the file"

n=$(add_device alice null "{'size': <uint64 1048576>, 'name': <'work'>}")
refused NotFound . as bob "$BUS_CALL" Manager GetDeviceByName "('none', @a{sv} {})"
systemctl start ublk-metrics.timer
_is_up() {
	[ "$(metric ublkd_up < $file)" = 1 ]
}
wait_until 10 _is_up || fail "the timer's service has not written: $(cat $file)"
assert_eq "$(metric ublk_devices < $file)/$(metric ublk_devices_limit < $file)" 1/60 "devices"
assert_eq "$(metric "ublk_device_info{device=\"ublkb$n\",name=\"work\",owner=\"1000\",target=\"null\",state=\"live\",read_only=\"false\"}" < $file)" 1 "the device"
assert_eq "$(metric "ublk_device_size_bytes{device=\"ublkb$n\"}" < $file)" 1048576 "its size"
assert_eq "$(metric 'ublkd_events_total{event="live"}' < $file) $(metric 'ublkd_events_total{event="refused"}' < $file) $(metric 'ublkd_events_total{event="allowed"}' < $file)" \
	"1 1 1" "what ublkd has counted"
# Every line is a comment or a sample.
! grep -vE '^(# (HELP|TYPE) ublkd?_[a-z_]+ .*|ublkd?_[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9]+)$' $file || fail "lines that Prometheus cannot read"

# Anybody may look; the same in the terminal.
delete_device alice "$n"
assert_eq "$(as bob ublk-client metrics | metric 'ublkd_events_total{event="deleted"}')" 1 "the deletion"
assert_eq "$(as bob ublk-client metrics | metric ublk_devices)" 0 "devices"
