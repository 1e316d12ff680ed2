#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# An owner cannot keep a device from being taken away, nor ublkd from knowing it: not with chmod 0 on the node that is theirs, not by
# keeping it open, and no reload of systemd's makes ublkd forget the server's unit. Every Delete is answered.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
directory=${file%/*}
configure <<'E'
[timeouts]
udev=100
stop=4
E
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

# Nor is a Delete in the middle of that left waiting, or waited for when it is over.
for _ in 1 2; do
	add
	as alice chmod 0 "/dev/ublkc$n"
	kill -KILL "$pid"
	for _ in 1 2 3 4; do
		as alice "$BUS_CALL" "$n" Delete '(@a{sv} {},)' > /dev/null 2>&1 || true
	done &
	wait_until 10 _is_gone "$n" || assert_gone "$n"
	wait $!
done

# Nor with the node given to one of her subordinate ids, as containers can: it is not somebody else's device for that.
to_subordinate="unshare --user --map-root-user --map-auto chown 1"
add
as alice $to_subordinate "/dev/ublkc$n"
assert_eq "$(stat -c %u "/dev/ublkc$n")" 100000 "the owner of the node"
kill -KILL "$pid"
wait_until 10 _is_gone "$n" || assert_gone "$n"

# A restarted ublkd takes it over all the same, at once, and so does the one after that, which finds the node taken from its owner. So
# with a node that was given to another group.
_is_live() {
	[ "$(property "$n" State)" = live ]
}
restart() { # WHAT
	systemctl restart ublkd
	# udev's limit is longer.
	wait_until 40 _is_live || fail "$1: the device is not taken over: $(property "$n" State)"
}
for change in "chmod 0" "chgrp ublk" "$to_subordinate"; do
	add
	as alice $change "/dev/ublkc$n"
	restart "$change"
	restart "$change, again"
	assert_works alice "$n"
	root_deletes
done

# Nor does it keep the device from being made. Whoever is quick enough has no device with that group.
add_with_another_group() {
	local changer

	as alice bash -c 'until chgrp ublk /dev/ublkc0; do :; done' 2> /dev/null &
	changer=$!
	add
	wait "$changer"
}
[ ! -e /dev/ublkc0 ] || fail "there is a device already"
add_with_another_group
assert_eq "$n" 0 "the number"
assert_eq "$(stat -c %G /dev/ublkc0)" ublk "the group of the node"
delete_device alice "$n"

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
	assert_within 18000 "$since" "the answer to Delete"
done
echo >&"${holder[1]}"
wait "$holder_pid" || true
wait_until 5 _is_gone "$n" || assert_gone "$n"
rm -f "$directory"/signals
