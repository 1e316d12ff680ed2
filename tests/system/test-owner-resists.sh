#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An owner cannot keep a device from being taken away, nor ublkd from knowing it: not with chmod 0 on the node that is theirs, not by
# keeping it open, and no reload of systemd's makes ublkd forget the server's unit. Every Delete is answered.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
directory=${file%/*}
start_ublkd

add() {
	n=$(add_loop alice "$file")
	pid=$(server_pid "$n")
}
root_deletes() {
	local answer

	answer=$("$BUS_CALL" "$n" Delete '(@a{sv} {},)') || fail "Delete by root: $answer"
	assert_gone "$n"
}

# A node that is closed to everybody. Its owner is refused by the kernel; root is not.
add
as alice chmod 0 "/dev/ublkc$n"
answer=$(as alice "$BUS_CALL" "$n" Delete '(@a{sv} {},)' || true)
assert_refusal AccessDenied permission "$answer"
assert_works alice "$n"
root_deletes

add
as alice chmod 0 "/dev/ublkc$n"
kill -KILL "$pid"
wait_until 5 _is_gone "$n" || assert_gone "$n"

# A restarted ublkd takes it over all the same.
add
as alice chmod 0 "/dev/ublkc$n"
kill -KILL "$(ublkd_pid)"
_is_live() {
	[ "$(property "$n" State)" = live ]
}
wait_until 20 _is_live || fail "the device is not taken over: $(property "$n" State)"
assert_works alice "$n"
root_deletes

# systemd says of every unit that it is removed when it reads its configuration again.
add
systemctl daemon-reload
kill -STOP "$pid"
delete_device alice "$n"
! kill -0 "$pid" 2> /dev/null || fail "the server is still there"

# A block device that somebody keeps open cannot go yet. Who asks is told so, each time, and in the end it goes.
add
coproc holder { as alice bash -c "exec 5<> /dev/ublkb$n; echo open; read -r"; }
holder_pid=$holder_PID
read -r word <&"${holder[0]}"
assert_eq "$word" open "the holder"
for _ in 1 2; do
	since=$(milliseconds)
	answer=$(as alice "$BUS_CALL" --timeout 60 "$n" Delete '(@a{sv} {},)' || true)
	assert_refusal Busy open "$answer"
	assert_within 30000 "$since" "the answer to Delete"
done
echo >&"${holder[1]}"
wait "$holder_pid" || true
wait_until 5 _is_gone "$n" || assert_gone "$n"
rm -f "$directory"/signals
