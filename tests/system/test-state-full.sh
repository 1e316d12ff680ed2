#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# With no room in /run/ublkd nothing new is made: an error says which file cannot be written, and nothing is left. What is there goes
# on and can be deleted. With room again all works.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
mine=$(add_loop alice "$file")
# A file system of its own, small enough to be filled: ublkd is started anew to see it, with what it had kept.
_unmount() {
	umount -l /run/ublkd
	systemctl restart ublkd
}
systemctl stop ublkd
state=$(mktemp -d)
cp -a /run/ublkd/. "$state"
rm -r /run/ublkd/devices
mount -t tmpfs -o size=64k,mode=755 tmpfs /run/ublkd
at_exit _unmount
cp -a "$state/." /run/ublkd
rm -r "$state"
start_ublkd
pid=$(ublkd_pid)
assert_eq "$(property "$mine" State)" live "the device of before"
expect_fail dd if=/dev/zero of=/run/ublkd/full bs=4096

for call in "AddDevice ('null', {'size': <uint64 1048576>})" "CreateDevice (@a{sv} {},)"; do
	answer=$(expect_fail as alice "$BUS_CALL" Manager "${call%% *}" "${call#* }")
	assert_refusal LimitExceeded "/run/ublkd.*space" "$answer"
done
assert_eq "$(find /dev -name 'ublk[bc]*' | sort | xargs)" "/dev/ublkb$mine /dev/ublkc$mine" "the nodes"
assert_eq "$(find /run/ublkd/devices -mindepth 1)" "/run/ublkd/devices/$mine" "the state files"
assert_works alice "$mine"
delete_device alice "$mine"

# That has made room for less than a file; now there is enough.
rm /run/ublkd/full
n=$(add_loop alice "$file")
assert_works alice "$n"
delete_device alice "$n"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
