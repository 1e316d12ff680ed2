#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# timeout: 600
# While alice or carol floods ublkd, bob's device is made in two seconds (or, in a machine as slow as this one, in four times what it
# takes without a flood), and ublkd's memory and descriptors stay bounded. The floods: calls on one connection and on many, calls
# that want no answer, devices up to the limit that are deleted and made anew, connections that make a device and leave, password dialogs
# that nobody answers.
# The flooder's own program has the lowest priority: what it takes of the processors itself is not ublkd's to limit.
. "$(dirname "$0")/devices.sh"

polkit_rule 10-ublk-test <<'E'
polkit.addRule(function(action, subject) {
	if (action.id == "org.ublk1.create" && subject.user == "bob")
		return polkit.Result.YES;
});
E
# A machine that is slow already shall be measured, not give up.
configure <<'E'
[timeouts]
udev=120
start=120
E
add() { # bob's device, in milliseconds; in $took
	local since n

	since=$(milliseconds)
	n=$(add_device bob null "{'size': <uint64 1048576>}")
	took=$(($(milliseconds) - since))
	# somebody else may have its number a moment later
	as bob "$BUS_CALL" "$n" Delete '(@a{sv} {},)' || fail "Delete"
}
limit=2000
without_flood() { # a limit by what it takes now
	times=()
	for _ in 1 2 3 4 5; do
		add
		times+=("$took")
	done
	quiet=$(printf '%s\n' "${times[@]}" | sort -n | sed -n 3p)
	limit=$((4 * quiet > limit ? 4 * quiet : limit))
}
without_flood
pid=$(ublkd_pid)
before=$(descriptors)
memory=$(ublkd_memory)
echo "without a flood: ${times[*]} ms, $memory KiB, $before descriptors"

most=0
flood() { # USER FLOOD…
	local user=$1 median
	shift

	coproc flooder { as "$user" chrt -i 0 "$HELPERS/flood-bus" "$@" 2>&1; }
	# bash forgets them when it ends
	id=$flooder_PID input=${flooder[1]}
	exec 3<&"${flooder[0]}"
	read -r answer <&3
	assert_eq "$answer" ready "what flood-bus says"
	times=()
	for _ in 1 2 3; do
		add
		times+=("$took")
		open=$(descriptors)
		most=$((open > most ? open : most))
	done
	eval "exec $input>&-"
	while read -r answer <&3; do
		echo "$answer"
		[[ $answer != *Error* ]] || fail "flood-bus: $answer"
	done
	exec 3<&-
	wait "$id" || true
	echo "  bob's add: ${times[*]} ms; ublkd: $(ublkd_memory) KiB, $(ublkd_peak) at most, $(descriptors) descriptors"
	median=$(printf '%s\n' "${times[@]}" | sort -n | sed -n 2p)
	# The machine may have become slower by what others do on it.
	[ "$median" -le $((limit * patience)) ] || without_flood
	[ "$median" -le $((limit * patience)) ] || fail "bob waited $median ms during '$*', more than $((limit * patience))"
}
# All she may have (the first flood: nothing of another one counts). The time goes to those who make devices, udev, systemd and her servers.
patience=4
flood alice devices 16
patience=1
flood alice calls 1
flood alice calls 50
# Nothing slows down who wants no answer, so these keep the bus busy, which everybody's calls pass: ublkd only drops them.
patience=4
flood alice silent 4
patience=1
flood alice reconnect
flood carol prompts 8

echo "limit $limit ms, at most $most descriptors"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
[ "$(ublkd_peak)" -lt $((memory + 65536)) ] || fail "ublkd had $(ublkd_peak) KiB"
[ "$most" -lt 1024 ] || fail "ublkd had $most descriptors"
wait_until 60 _nothing_left || fail "left: $(leftovers)"
_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 20 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$pid/fd")"
