#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A device that was created and never started does not stay: it goes at once when its creator leaves the bus (ended, killed, or just
# disconnected), and after the administrator's deadline when the creator stays. What it keeps open then is of no use. Nor is there a
# device of who leaves while AddDevice makes it.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[timeouts]
created=10
start=4
E

create() { # sets n and leaves the caller running as `creator`
	coproc creator { exec 2>&1; as alice "$BUS_CALL" --hold Manager CreateDevice "({'name': <'created'>},)"; }
	creator_pid=$creator_PID
	read -r answer <&"${creator[0]}"
	n=${answer#*/devices/}
	n=${n%%\'*}
	[[ $n =~ ^[0-9]+$ ]] || fail "CreateDevice: $answer"
}
let_creator_go() {
	eval "exec ${creator[1]}>&-"
	wait "$creator_pid" || true
}

create
assert_eq "$(property "$n" State)" created "the state"
assert_eq "$(kernel_says "$n" state)" 0 "the kernel's state"
assert_eq "$(stat -c '%U:%G %a' "/dev/ublkc$n")" "alice:alice 600" "the node of a created device"
[ ! -e "/dev/ublkb$n" ] || fail "there is a block device before Start"
since=$(milliseconds)
pkill -KILL -u alice -x bus-call
wait_until 3 _is_gone "$n" || assert_gone "$n"
assert_within 2000 "$since" "the end of a device whose creator was killed"
wait "$creator_pid" || true

# It leaves the bus in order.
create
since=$(milliseconds)
let_creator_go
wait_until 3 _is_gone "$n" || assert_gone "$n"
assert_within 2000 "$since" "the end of a device whose creator left"

# It stays, and holds its descriptor. The deadline is not earlier than said, either.
since=$(milliseconds)
create
"$HELPERS/bus-watch" --until "InterfacesRemoved.*/devices/$n'" --timeout 60 > /dev/null || fail "the device stays"
took=$(($(milliseconds) - since))
echo "the deadline of 10 s came after $took ms"
[ "$took" -ge 9900 ] && [ "$took" -lt 25000 ] || fail "the deadline came after $took ms, not 10 s"
assert_gone "$n"
kill -0 "$creator_pid" || fail "the creator ended before the deadline"
answer=$(expect_fail as alice "$BUS_CALL" "$n" Start "({'size': <uint64 1048576>},)")
assert_refusal "org.freedesktop.DBus.Error.Unknown(Object|Method)" . "$answer"
let_creator_go

# Start, by a process that has not opened the node and never fetches, ends in time too.
create
since=$(milliseconds)
answer=$(expect_fail as alice "$BUS_CALL" "$n" Start "({'size': <uint64 1048576>},)")
assert_refusal "(TimedOut|InvalidState|InvalidArgument|Kernel)" . "$answer"
assert_within 8000 "$since" "Start of a server that never fetches"
let_creator_go
wait_until 3 _is_gone "$n" || assert_gone "$n"

# A device belongs to its creator's connection, not to whoever asks first: bob does not get it.
create
refused "(AccessDenied|InteractiveAuthorizationRequired)" . as bob "$BUS_CALL" "$n" Start "({'size': <uint64 1048576>},)"
assert_eq "$(property "$n" State)" created "the state after bob's Start"
let_creator_go
wait_until 3 _is_gone "$n" || assert_gone "$n"

# While udev processes nothing, AddDevice waits.
at_exit udevadm control --start-exec-queue
udevadm control --stop-exec-queue
as alice "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>, 'id': <uint32 5>})" > /dev/null 2>&1 &
wait_until 10 test -e /dev/ublkc5 || fail "no device is made"
pkill -KILL -u alice -x bus-call
wait $! || true
wait_for_gone 5 /dev/ublkc5
udevadm control --start-exec-queue
wait_until 5 _is_gone 5 || assert_gone 5
