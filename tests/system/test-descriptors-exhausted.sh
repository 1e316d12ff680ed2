#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# When ublkd has no descriptor left, or only some, a call ends with an error and leaves nothing; descriptors that come with it are
# refused by name. ublkd goes on, and so do its devices. With descriptors again all works.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[timeouts]
udev=5
E
file=$(backing_file alice 4M)
mine=$(add_loop alice "$file")
other=$(backing_file alice 4M)
pid=$(ublkd_pid)
as alice "$BUS_CALL" --fd 0 Manager AddDevice "('loop', {'file': <handle 0>})" < /dev/null || true
before=$(descriptors)
usual=$(prlimit -p "$pid" -o SOFT,HARD --noheadings --nofile | awk '{ print $1 ":" $2 }')
at_exit prlimit -p "$pid" "--nofile=$usual"

refusals=0
for more in 0 1 2 4 6 8; do
	prlimit -p "$pid" "--nofile=$((before + more)):${usual#*:}"
	answer=$(as alice "$BUS_CALL" --fd 8 Manager AddDevice "('loop', {'file': <handle 0>, 'id': <uint32 $((50 + more))>})" 8<> "$other" || true)
	echo "$more more: $answer"
	case $answer in
	ok*)
		prlimit -p "$pid" "--nofile=$usual"
		delete_device alice "$((50 + more))"
		;;
	*)
		refusals=$((refusals + 1))
		assert_refusal "(LimitExceeded|Kernel|TimedOut)" . "$answer"
		;;
	esac
	assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
	wait_until 30 _is_gone "$((50 + more))" || assert_gone "$((50 + more))"
done
[ "$refusals" -gt 0 ] || fail "there were descriptors enough"
prlimit -p "$pid" "--nofile=$usual"

assert_works alice "$mine"
n=$(add_loop alice "$other")
delete_device alice "$n"
delete_device alice "$mine"
_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 20 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$pid/fd")"
