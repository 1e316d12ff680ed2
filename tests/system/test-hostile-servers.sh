#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Servers of alice's that end at every moment, stop, never answer, answer wrongly, or leave a child that holds on: her readers get an
# error (or what was written), her device goes with its number as soon as its last holder has ended, every call about it is answered,
# and bob adds and deletes devices all the while.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[timeouts]
created=45
start=15
stop=5
E
start_ublkd
directory=$(scratch alice)
bob_goes_on "$directory"

# serve MODE [live] : a server of that kind, in the background, until it has got as far as that. Sets n, the device's number, and server.
serve() {
	local mode=$1

	as alice "$HELPERS/attached-server" --hostile "$mode" 8388608 1 8 > "$directory/$mode" 2>&1 &
	server=$!
	wait_until 40 grep -q "^${2:-created}" "$directory/$mode" || fail "$mode: the server does not get ${2:-created}: $(cat "$directory/$mode")"
	n=$(sed -n 's/^created //p' "$directory/$mode")
}
io() { # OPERATION…
	"$HELPERS/block-io" "/dev/ublkb$n" "$@" | xargs
}
goes() { # WHAT
	wait_until 20 _is_gone "$n" || fail "$1: $(assert_gone "$n" 2>&1 || true)"
	wait "$server" || true
	echo "$1: gone"
}
# answered_busy : somebody holds on, which Delete says.
answered_busy() {
	local answer

	answer=$(as alice "$BUS_CALL" --timeout 60 "$n" Delete '(@a{sv} {},)' || true)
	assert_refusal Busy "open|does not let go" "$answer"
}

# --- Those that end.
for mode in exit-created exit-opened exit-starting exit-live; do
	serve "$mode"
	goes "$mode"
done
serve exit-io live
assert_eq "$(io read:0:4096:1)" EIO "a read when the server ends with it"
goes exit-io

# --- Those that answer wrongly: each answer harms at most its own request.
serve twice live
assert_eq "$(io write:0:65536:1 write:65536:65536:1 read:0:65536:1 read:65536:65536:1)" "ok ok ok ok" "answers given twice"
delete_device alice "$n"
goes twice
serve strange live
assert_eq "$(io write:0:65536:1 write:65536:65536:1 read:0:65536:1 read:65536:65536:1)" "ok ok ok ok" "with commands that make no sense"
delete_device alice "$n"
goes strange
# Not mode long: it makes the driver warn in the kernel log (docs/security.md).
serve errno live
assert_eq "$(io read:0:4096:1 write:0:4096:1 read:0:4096:1 write:0:4096:1)" "EIO EIO EIO EIO" "what is no errno"
delete_device alice "$n"
goes errno
serve nothing live
assert_eq "$(io read:0:4096:1)" EIO "a read of nothing"
delete_device alice "$n"
goes nothing

# --- Those that do nothing (any more). All at once, for it is all waiting. The kernel kills a server when a request is 30 seconds old
# (test-stalls); here it is told to do so earlier.
silent() { # MODE
	serve "$1" live
	echo 4000 > "/sys/block/ublkb$n/queue/io_timeout"
	assert_eq "$(io read:0:4096:1)" EIO "$1: a read"
	goes "$1"
}
never_fetches() {
	serve no-fetch
	wait "$server" || true
	grep -q 'TimedOut: the server has not fetched' "$directory/no-fetch" || fail "no-fetch: $(cat "$directory/no-fetch")"
	goes no-fetch
}
# MODE : the device is dead, and says so, until its last holder ends. (For a server that stops itself while Start waits that is after
# Start's deadline and that of a device that is not started.)
held() {
	serve "$1"
	wait_until 150 _is_dead || fail "$1: the device is $(property "$n" State)"
	answered_busy
	pkill -KILL -u alice -f -- "--hostile $1"
	goes "$1"
}
_is_dead() {
	[ "$(property "$n" State)" = dead ]
}
waiting=()
for how in "silent silent" "silent stop-io" never_fetches "held stop-starting" "held keep"; do
	$how &
	waiting+=($!)
done
failed=0
for process in "${waiting[@]}"; do
	wait "$process" || failed=1
done
[ "$failed" = 0 ] || fail "see above"
# A child that serves, silently. Linux 6.12 kills the one that has fetched: the device is held by its parent then. 7.2 kills the one that has
# opened the device, its parent: the child goes on, and the reader waits for as long as that lives (docs/security.md). Either way Delete says
# so, and all is over with the last of them.
child_serves() {
	local reader

	serve child-serves live
	assert_eq "$(servers)" 2 "the servers"
	echo 4000 > "/sys/block/ublkb$n/queue/io_timeout"
	io read:0:4096:1 > "$directory/child-read" &
	reader=$!
	wait_until 40 _one_server || fail "child-serves: the kernel kills none: $(pgrep -u alice -a attached)"
	answered_busy
	case $(uname -r) in
	6.12*)
		wait "$reader"
		assert_eq "$(cat "$directory/child-read")" EIO "child-serves: a read, when the child was killed"
		;;
	*)
		assert_eq "$(cat "$directory/child-read")" "" "child-serves: a read, while the child lives"
		kill -0 "$server" 2> /dev/null && fail "child-serves: the one that has opened the device lives"
		;;
	esac
	pkill -KILL -u alice -f -- "--hostile child-serves"
	wait "$reader"
	assert_eq "$(cat "$directory/child-read")" EIO "child-serves: a read"
	goes child-serves
}
servers() {
	pgrep -c -u alice -f -- "--hostile child-serves"
}
_one_server() {
	[ "$(servers)" = 1 ]
}
child_serves

bob_stops
