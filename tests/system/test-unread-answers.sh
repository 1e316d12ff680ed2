#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# A caller that does not read gets no more than a few answers with descriptors, so that the bus goes on taking what ublkd says to others:
# it takes nothing more from who has sent many that are not delivered. Whoever then reads is served again, and who leaves owes nothing.
. "$(dirname "$0")/devices.sh"

polkit_rule 10-ublk-test <<'E'
polkit.addRule(function(action, subject) {
	if (action.id == "org.ublk1.create" && subject.user == "bob")
		return polkit.Result.YES;
});
E
delete_device bob "$(add_device bob null "{'size': <uint64 1048576>}")"
pid=$(ublkd_pid)
before=$(descriptors)

# It answers nothing by itself, as one that is stopped; but it says what came.
coproc caller { as alice env PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1 python3 -u "$PWD/unread-answers.py" 2>&1; }
id=$caller_PID input=${caller[1]}
says() {
	local answer

	read -r answer <&"${caller[0]}"
	assert_eq "$answer" "$1" "what the caller gets"
}
# One answer was CreateDevice's.
says "7 org.ublk1.Error.Busy"
# Nobody else is in its way; other programs of hers are.
delete_device bob "$(add_device bob null "{'size': <uint64 1048576>}")"
as bob "$BUS_CALL" Manager CreateDevice '(@a{sv} {},)' > /dev/null
refused Busy "has not read" as alice "$BUS_CALL" Manager CreateDevice '(@a{sv} {},)'
echo >&"$input"
says ok
as alice "$BUS_CALL" Manager CreateDevice '(@a{sv} {},)' > /dev/null
echo >&"$input"
says org.ublk1.Error.Busy
echo >&"$input"
wait "$id" || fail "the caller failed"
as alice "$BUS_CALL" Manager CreateDevice '(@a{sv} {},)' > /dev/null
wait_until 10 _nothing_left || fail "left: $(leftovers)"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 10 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$pid/fd")"
