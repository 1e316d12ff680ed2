#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# While udev processes nothing, or does not run at all, AddDevice and CreateDevice end with an error in bounded time and leave nothing,
# and work again when it is back. Deleting a device does not depend on it.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[timeouts]
udev=5
E

# without WHAT : how ublkd does without udev; alice has the device n.
without() {
	local call answer since

	for call in "AddDevice ('null', {'size': <uint64 1048576>})" "CreateDevice (@a{sv} {},)"; do
		since=$(milliseconds)
		answer=$(expect_fail as alice "$BUS_CALL" Manager "${call%% *}" "${call#* }")
		assert_refusal TimedOut "udev did not process the arrival of /dev/ublkc[0-9]+ in time .is systemd-udevd running" "$answer"
		assert_within 15000 "$since" "${call%% *} $1"
	done
	since=$(milliseconds)
	as alice "$BUS_CALL" "$n" Delete '(@a{sv} {},)'
	assert_within 15000 "$since" "Delete $1"
	assert_eq "$(find /dev -name 'ublk[bc]*')" "" "nodes"
}

n=$(add_device alice null "{'size': <uint64 1048576>}")
at_exit udevadm control --start-exec-queue
udevadm control --stop-exec-queue
without "while udev processes nothing"
udevadm control --start-exec-queue
udevadm settle
assert_nothing_left

delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"

# --- No udevd at all: what it would have been told meanwhile it never hears.
n=$(add_device alice null "{'size': <uint64 1048576>, 'name': <'lasting'>}")
at_exit udevadm settle
at_exit systemctl start systemd-udevd.service
systemctl stop systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket
without "without udevd"
systemctl start systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service
udevadm settle
# The same number, and any other.
m=$(add_device alice null "{'size': <uint64 1048576>, 'name': <'lasting'>, 'id': <uint32 $n>}")
assert_eq "$m" "$n" "the number"
assert_eq "$(readlink -f /dev/disk/by-ublk/1000-lasting)" "/dev/ublkb$n" "the link"
delete_device alice "$n"
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
assert_nothing_left
