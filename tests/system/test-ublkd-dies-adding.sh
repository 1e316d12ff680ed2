#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ublkd is killed in the middle of AddDevice, at moments from the first to the last: afterwards there is either the whole device or
# nothing of it, and the whole one whenever the caller got it as the answer. Between the moment when ublkd has written down that
# the device is live and the one when the answer is on the bus lies a gap that no order can close; the device stays then, since
# the other order would take one away that its owner was promised. The next call works.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
directory=${file%/*}
add="('loop', {'file': <'$file'>})"

# How long it takes, the second time.
n=$(add_loop alice "$file")
delete_device alice "$n"
since=$(milliseconds)
n=$(add_loop alice "$file")
whole=$(($(milliseconds) - since))
delete_device alice "$n"

# The number of the one device, if it is live.
live_device() {
	local path

	for path in /run/ublkd/devices/*; do
		if [ "$(property "${path##*/}" State)" = live ]; then
			printf '%s\n' "${path##*/}"
		fi
	done
}

_nothing_or_live() {
	[ -n "$(live_device)" ] || _nothing_left
}

kill_at() { # COMMAND… : that waits for the moment
	local answer killed n

	start_ublkd
	killed=$(ublkd_pid)
	as alice "$BUS_CALL" Manager AddDevice "$add" > "$directory/answer" &
	local caller=$!
	"$@"
	kill -KILL "$killed" || true
	wait "$caller" || true
	answer=$(< "$directory/answer")
	_another_ublkd() {
		[ "$(ublkd_pid)" != 0 ] && [ "$(ublkd_pid)" != "$killed" ]
	}
	wait_until 10 _another_ublkd || fail "$*: ublkd does not come back"
	wait_until 10 _ublkd_answers || fail "$*: the next ublkd does not answer"
	case $answer in
	"ok "*)
		n=${answer##*/}
		n=${n%%\'*}
		outcomes+="answered "
		;;
	*)
		wait_until 5 _nothing_or_live || fail "$*: the caller was told '$answer', and this is left: $(leftovers)"
		n=$(live_device)
		outcomes+="$([ -n "$n" ] && echo unanswered || echo nothing) "
		;;
	esac
	if [ -n "$n" ]; then
		assert_works alice "$n"
		delete_device alice "$n"
	fi
	assert_nothing_left || fail "$*: the caller was told '$answer', and this is left"
}

outcomes=""
# While the moment is one that can be seen …
_seen() { # PATTERN
	local end=$(($(milliseconds) + 3000))
	until compgen -G "$1" > /dev/null || [ "$(milliseconds)" -gt "$end" ]; do :; done
}
kill_at true
kill_at _seen '/dev/ublkc*'
kill_at _seen '/run/ublkd/devices/*'
kill_at _seen '/run/systemd/transient/ublk-server-*'
kill_at _seen '/dev/ublkb*'
kill_at _seen '/dev/disk/by-ublk/*'
# … and by the clock.
for part in {1..7}; do
	delay=$((whole * part / 7))
	kill_at sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
done
echo "AddDevice takes $whole ms; outcomes: $outcomes"

n=$(add_loop alice "$file")
assert_works alice "$n"
delete_device alice "$n"
