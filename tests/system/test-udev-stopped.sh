#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# While udev processes nothing, AddDevice and CreateDevice end with an error in bounded time and leave nothing, and work again when it
# is back. Deleting a device does not depend on it.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[timeouts]
udev=2
E
n=$(add_device alice null "{'size': <uint64 1048576>}")

at_exit udevadm control --start-exec-queue
udevadm control --stop-exec-queue
for call in "AddDevice ('null', {'size': <uint64 1048576>})" "CreateDevice (@a{sv} {},)"; do
	since=$(milliseconds)
	answer=$(expect_fail as alice "$BUS_CALL" Manager "${call%% *}" "${call#* }")
	assert_refusal TimedOut udev "$answer"
	assert_within 8000 "$since" "${call%% *} without udev"
done
since=$(milliseconds)
as alice "$BUS_CALL" "$n" Delete '(@a{sv} {},)'
assert_within 8000 "$since" "Delete without udev"
assert_eq "$(find /dev -name 'ublk[bc]*')" "" "nodes"
udevadm control --start-exec-queue
udevadm settle
assert_nothing_left

n=$(add_device alice null "{'size': <uint64 1048576>}")
delete_device alice "$n"
