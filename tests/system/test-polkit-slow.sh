#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# While polkit does not answer, a call that needs it ends with an error in bounded time that says so, and one that does not need it is
# not kept waiting: root's, or reading. One user's many questions do not keep another's from being put. When it is back, or another
# one is, all works. A question that it had when it ended, with or without a dialog, is a no, which is told at once.
. "$(dirname "$0")/devices.sh"

mine=$(add_device alice null "{'size': <uint64 1048576>}")
pid=$(ublkd_pid)
polkit=$(systemctl show -P MainPID polkit)
[ "$polkit" -gt 1 ] || fail "polkit does not run"
at_exit systemctl restart polkit
systemctl kill -s STOP polkit

callers=()
since=$(milliseconds)
# More than may be asked at once: those that wait for their turn end in time as well.
for i in 1 2 3 4 5 6; do
	as alice "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>})" > "/tmp/ublk-test-answer$i" 2>&1 &
	callers+=($!)
done
at_exit rm -f /tmp/ublk-test-answer{1,2,3,4,5,6}
n=$(add_device root null "{'size': <uint64 1048576>}")
delete_device root "$n"
as bob busctl get-property org.ublk1 "/org/ublk1/devices/$mine" org.ublk1.Device State > /dev/null
for i in "${callers[@]}"; do
	wait "$i" && fail "a call without polkit's answer succeeds"
done
assert_within 60000 "$since" "the refusal without an answer of polkit"
for i in 1 2 3 4 5 6; do
	assert_refusal AccessDenied "polkit has not answered" "$(< "/tmp/ublk-test-answer$i")"
done
assert_eq "$(find /dev -name 'ublkb*')" "/dev/ublkb$mine" "the devices"

# One that goes on answers what is asked from then on; one that is killed is started again by the bus.
systemctl kill -s CONT polkit
n=$(add_device alice null "{'size': <uint64 1048576>}")
delete_device alice "$n"
systemctl kill -s KILL polkit
_works() {
	n=$(as alice "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>})") && delete_device alice "$(sed -E "s,.*/([0-9]+)'.*,\1," <<< "$n")"
}
wait_until 30 _works || fail "no device can be made after polkit was killed"

# --- It ends with a question that it has not answered.
directory=$(scratch alice)
polkit=$(systemctl show -P MainPID polkit)
[ "$polkit" -gt 1 ] || fail "polkit does not run"
busctl monitor --match "type='method_call',member='CheckAuthorization'" > "$directory/monitor" 2>&1 &
monitor=$!
at_exit kill "$monitor"
wait_until 20 grep -q Monitoring "$directory/monitor" || fail "busctl monitor: $(cat "$directory/monitor")"
systemctl kill -s STOP polkit
as alice "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>})" > "$directory/answer" 2>&1 &
call=$!
wait_until 20 grep -q Member=CheckAuthorization "$directory/monitor" || fail "polkit is not asked: $(cat "$directory/monitor")"
since=$(milliseconds)
systemctl kill -s KILL polkit
wait "$call" && fail "a call whose question polkit has not answered succeeds"
assert_refusal AccessDenied "polkit cannot be asked" "$(< "$directory/answer")"
assert_within 5000 "$since" "the refusal when polkit was killed"
assert_eq "$(find /dev -name 'ublk[bc]*' | sort | xargs)" "/dev/ublkb$mine /dev/ublkc$mine" "the nodes"
_has_ended() {
	[ "$(systemctl show -P MainPID polkit)" != "$polkit" ]
}
wait_until 20 _has_ended || fail "polkit does not end"
# The next question starts it.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"

# --- It is restarted while a dialog is open.
silent_agent carol
agent_does carol "ask first"
agent_said carol 1 dialog
since=$(milliseconds)
systemctl restart polkit
agent_said carol 1 "first .*not authorized to create: polkit cannot be asked.*"
assert_within 10000 "$since" "the refusal when polkit was restarted"
assert_eq "$(find /dev -name 'ublk[bc]*' | sort | xargs)" "/dev/ublkb$mine /dev/ublkc$mine" "the nodes"
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
# And the place for dialogs that it had is free.
exec {agents[carol]}>&-
silent_agent carol
agent_does carol "ask second"
agent_said carol 1 dialog
delete_device alice "$mine"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
