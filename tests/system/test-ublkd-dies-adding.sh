#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ublkd is killed in the middle of AddDevice, at moments from the first to the last: afterwards there is either the whole device, if
# the caller got it as the answer, or nothing of it. The next call works.
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
		assert_works alice "$n"
		delete_device alice "$n"
		;;
	esac
	assert_nothing_left || fail "$*: the caller was told '$answer', and this is left"
	outcomes+="${answer%% *} "
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
