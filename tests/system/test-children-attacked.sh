#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# timeout: 600
# A user who attacks the children of ublkd that carry her uid for a moment (every signal, ptrace, /proc, limits, descriptors, priorities)
# through a hundred of her calls gets nothing from it: no way into one, at worst her own calls fail and say why, every one of bob's
# succeeds all the while, and nothing is lost in ublkd.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[limits]
creations-per-minute=10000
E
start_ublkd
directory=$(scratch alice)
# Once, for what is allocated only once.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>, 'id': <uint32 7>}")"
ublkd=$(ublkd_pid)
before=$(descriptors)

bob_goes_on "$directory"

# attacked MODE CALLS : so many devices are created and deleted one after the other, while the attack goes on. It goes on for longer if no
# child was caught so far.
attacked() {
	local mode=$1 calls=$2 attacker answers=$directory/answers.$1 hits=$directory/hits.$1

	as alice "$HELPERS/attack-children" "$mode" "$ublkd" > "$hits" &
	attacker=$!
	wait_until 20 grep -q ready "$hits" || fail "$mode: the attacker does not get ready: $(cat "$hits")"
	: > "$answers"
	for _ in {1..20}; do
		for _ in $(seq "$calls"); do
			printf '%s\n' "Manager CreateDevice ({'id': <uint32 7>},)" "7 Delete (@a{sv} {},)"
		done | as alice "$BUS_CALL" --script >> "$answers" || true
		! grep -q hit "$hits" || break
	done
	# itself, not the shell that waits for it
	pkill -KILL -x attack-children
	wait "$attacker" || true
	echo "$mode: $(grep -c hit "$hits") hits, $(grep -c ^ok "$answers") of $(wc -l < "$answers") calls succeeded"
	grep -q hit "$hits" || fail "$mode: no child was caught"
	! grep inside "$hits" || fail "$mode: the attacker got inside"
	# What failed says why; a device that was not made cannot be deleted.
	! grep '^error' "$answers" | grep -vE 'cannot act as user 1000: the process that was to do so was stopped or killed|error org\.freedesktop\.DBus\.Error\.Unknown(Object|Method) ' ||
		fail "$mode: unexpected errors"
}
attacked kill 30
attacked signals 6
attacked slow 6
attacked look 6
# Each one that is caught costs two seconds.
attacked stop 3

bob_stops
assert_eq "$(ublkd_pid)" "$ublkd" "ublkd"
_no_children() {
	[ -z "$(cat "/proc/$ublkd/task/$ublkd/children")" ]
}
wait_until 10 _no_children || fail "children are left: $(cat "/proc/$ublkd/task/$ublkd/children")"
_as_before() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 10 _as_before || fail "ublkd has $(descriptors) descriptors open, and had $before"
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>, 'id': <uint32 7>}")"
