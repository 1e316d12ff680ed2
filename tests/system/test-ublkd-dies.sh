#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Devices do not depend on ublkd: when it is killed, or there is no memory for it, their I/O goes on, and the next ublkd knows them again,
# by name, owner, size and state, lets the owner (and nobody else) delete them, and still notices when a server dies.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 32M)
directory=${file%/*}
n=$(add_loop alice "$file" ", 'name': <'work'>, 'queues': <uint32 2>")
other=$(add_loop alice "$(backing_file alice 4M)" ", 'name': <'other'>, 'read-only': <true>")
victim=$(add_loop alice "$(backing_file alice 4M)" ", 'name': <'victim'>")

describe() { # everything of all devices, but not the order
	busctl --system --json=short call org.ublk1 /org/ublk1 org.freedesktop.DBus.ObjectManager GetManagedObjects |
		jq -S '.data[0] | with_entries(select(.key | contains("/devices/"))) | map_values(.["org.ublk1.Device"])'
}
before=$(describe)
assert_eq "$(jq length <<< "$before")" 3 "the number of devices"

# Checksummed I/O all the while.
as alice fio --name=verify --filename="/dev/ublkb$n" --direct=1 --rw=randrw --bs=4k --size=16M --verify=crc32c --verify_fatal=1 \
	--ioengine=io_uring --iodepth=16 --verify_backlog=64 --time_based --runtime=300 --output="$directory/fio" 2>&1 &
load=$!
_requests() {
	awk '{ print $1 + $5 }' "/sys/block/ublkb$n/stat"
}
_requests_exceed() {
	[ "$(_requests)" -gt "$1" ]
}
wait_until 30 _requests_exceed 200 || fail "fio does not get going: $(cat "$directory/fio")"

began=$(date '+%F %T')
# memory: the kernel ends it for want of that.
for round in 1 2 memory; do
	pid=$(ublkd_pid)
	count=$(_requests)
	if [ "$round" = memory ]; then
		echo 0 > "/sys/fs/cgroup$(systemctl show -P ControlGroup ublkd)/memory.max"
	else
		kill -KILL "$pid"
	fi
	_restarted() {
		[ "$(ublkd_pid)" != 0 ] && [ "$(ublkd_pid)" != "$pid" ] && _ublkd_answers
	}
	wait_until 10 _restarted || fail "ublkd does not come back"
	after=$(describe)
	[ "$after" = "$before" ] || fail "after restart $round: $(diff <(echo "$before") <(echo "$after"))"
	wait_until 10 _requests_exceed $((count + 100)) || fail "I/O does not go on"
done
journalctl --sync
journalctl --quiet --no-pager -o cat --since="$began" -u ublkd | grep -F "Failed with result 'oom-kill'" || fail "it was not for want of memory"
assert_works alice "$other"

# What the next ublkd knows is enough to act on.
answer=$(expect_fail as bob "$BUS_CALL" "$n" Delete '(@a{sv} {},)')
grep -qE 'AccessDenied|InteractiveAuthorizationRequired' <<< "$answer" || fail "bob's Delete: $answer"
answer=$(as alice "$BUS_CALL" "$n" GetBackingFile '(@a{sv} {},)')
grep -qF "$file" <<< "$answer" || fail "GetBackingFile: $answer"
refused Exists work as alice "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>, 'name': <'work'>})"
since=$(milliseconds)
kill -KILL "$(server_pid "$victim")"
wait_until 5 _is_gone "$victim" || assert_gone "$victim"
# Beside that load; by itself it is test-server-dies that says how long it may take.
assert_within 4000 "$since" "the end of a server that was adopted"

# A server that dies while there is no ublkd is found by the next one.
systemctl stop ublkd
kill -KILL "$(kernel_says "$other" pid)"
start_ublkd
wait_until 5 _is_gone "$other" || assert_gone "$other"

kill -0 "$load" || fail "the I/O met an error: $(cat "$directory/fio")"
pkill -TERM -P "$load" || kill "$load"
wait "$load" || true
grep -q 'err= *0' "$directory/fio" || fail "fio: $(cat "$directory/fio")"
delete_device alice "$n"
