#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# When systemd does not start a device's server, or cannot, AddDevice ends with an error that says so, and nothing is left: a unit of
# that name that is masked, one that is there already, a server that cannot be executed. But a user's slice that is about to be stopped,
# since the last thing in it has ended, is not in the way.
. "$(dirname "$0")/devices.sh"

size="'size': <uint64 1048576>"
delete_device alice "$(add_device alice null "{$size}")"
pid=$(ublkd_pid)
before=$(descriptors)

at_exit rm -f /run/systemd/system/ublk-server-41.service
ln -s /dev/null /run/systemd/system/ublk-server-41.service
refused Kernel "systemd.*(mask|exist|load|fragment)" as alice "$BUS_CALL" Manager AddDevice "('null', {$size, 'id': <uint32 41>})"
assert_gone 41
rm /run/systemd/system/ublk-server-41.service

systemd-run --quiet --unit=ublk-server-42.service sleep 600
at_exit systemctl stop ublk-server-42.service
refused Kernel "systemd.*(exist|load|fragment)" as alice "$BUS_CALL" Manager AddDevice "('null', {$size, 'id': <uint32 42>})"
systemctl stop ublk-server-42.service 2> /dev/null || true
wait_until 10 _is_gone 42 || assert_gone 42

server=$(command -v ublk-server)

at_exit umount -q "$server"
mount --bind /etc/passwd "$server"
refused "(InvalidState|Kernel)" "server" as alice "$BUS_CALL" Manager AddDevice "('null', {$size, 'id': <uint32 43>})"
assert_gone 43
umount "$server"

systemd-run --quiet --slice=user-1000.slice --unit=ublk-test-last -p "ExecStop=sh -c 'touch /run/ublk-test-stops; sleep 600'" sleep 600
at_exit systemctl kill --signal=KILL ublk-test-last.service
systemctl stop --no-block user-1000.slice
wait_until 20 test -e /run/ublk-test-stops
rm /run/ublk-test-stops
systemctl list-jobs | grep 'user-1000.slice *stop' || fail "nothing stops the slice"
delete_device alice "$(add_device alice null "{$size}")"
systemctl kill --signal=KILL ublk-test-last.service

assert_nothing_left
n=$(add_device alice null "{$size}")
delete_device alice "$n"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 20 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$pid/fd")"
