#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A device does not outlive its server, however that ends (kill -9, SIGTERM, systemctl stop, idle or under load, with the block device
# open): within 2 s node, object, unit and state file are gone, and the number is free. Nobody's reader hangs. ublkd says how it ended.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 16M)
directory=${file%/*}

# dies WHAT COMMAND… : device 3 goes by the command. The end is the object's signal, which comes last: at that moment nothing else is left.
dies() {
	local what=$1 watcher since
	shift
	"$HELPERS/bus-watch" --until "InterfacesRemoved.*/devices/3'" --timeout 10 > "$directory/signals" &
	watcher=$!
	wait_until 5 grep -q ready "$directory/signals"
	since=$(milliseconds)
	"$@"
	wait "$watcher" || fail "$what: InterfacesRemoved did not come"
	assert_within 2000 "$since" "$what"
	assert_gone 3
}
kill_server() { # SIGNAL
	kill "-$1" "$server"
}
add() {
	assert_eq "$(add_loop alice "$file" ", 'id': <uint32 3>")" 3 "the number"
	server=$(server_pid 3)
}

_ublkd_says() {
	journalctl -q --after-cursor="$cursor" -u ublkd -o cat | grep -e "$1"
}
restarted_before() { # COMMAND… : by a ublkd that did not make the device
	"$@"
}
while IFS=: read -r how end; do
	# A sanitizer takes that signal for itself.
	[[ $how != *SEGV* || ! -d /var/lib/ublk-instrumented ]] || continue
	add
	if [[ $how = restarted_before* ]]; then
		systemctl restart ublkd
	fi
	cursor=$(journalctl -q -n 1 --show-cursor | sed -n 's/^-- cursor: //p')
	# shellcheck disable=SC2086 # words
	dies "$how" $how < /dev/null
	wait_until 20 _ublkd_says "^device 3 .*: its server $end" ||
		fail "$how: ublkd does not say '$end': $(journalctl -q --after-cursor="$cursor" -u ublkd -o cat)"
done <<- EOF
	kill_server KILL:was killed by signal 9 (.*), which ublkd did not ask for
	kill_server TERM:exited with status 0
	kill_server SEGV:was killed by signal 11
	systemctl stop ublk-server-3.service:exited with status 0
	restarted_before kill_server KILL:was killed by signal 9
EOF
# Not worth a line: that it ends when its device is deleted.
add
cursor=$(journalctl -q -n 1 --show-cursor | sed -n 's/^-- cursor: //p')
delete_device alice 3
wait_until 20 _ublkd_says "^device 3 .* goes: " || fail "ublkd does not say that a device is deleted"
_ublkd_says "its server" && fail "ublkd says too much"

# Under load. fio is told.
add
as alice fio --name=load --filename=/dev/ublkb3 --direct=1 --rw=randrw --bs=4k --size=16M --ioengine=io_uring --iodepth=32 \
	--time_based --runtime=60 > "$directory/fio" 2>&1 &
load=$!
_has_written() {
	awk -v n="$1" '{ exit !($5 > n) }' /sys/block/ublkb3/stat
}
wait_until 20 _has_written 300 || fail "fio does not get going: $(cat "$directory/fio")"
dies "kill -9 under load" kill_server KILL
status=0
wait "$load" || status=$?
[ "$status" != 0 ] || fail "fio did not notice"

# While somebody keeps the block device open: its name is gone as fast, what is left of it gives nothing, and the rest goes when it is
# closed (the kernel frees the number no sooner).
add
coproc holder { as alice bash -c 'exec 5<> /dev/ublkb3; echo open; read -r; dd bs=512 count=1 iflag=direct status=none <&5 2>/dev/null | wc -c; read -r'; }
holder_pid=$holder_PID
read -r word <&"${holder[0]}"
assert_eq "$word" open "the holder"
since=$(milliseconds)
kill_server KILL
wait_for_gone 5 /dev/ublkb3
assert_within 2000 "$since" "the node's end with the block device open"
echo >&"${holder[1]}"
read -r bytes <&"${holder[0]}"
assert_eq "$bytes" 0 "bytes that the dead device gave"
close_it() {
	echo >&"${holder[1]}"
	wait "$holder_pid" || true
}
dies "the end when the block device was closed" close_it

# The number is free for the next one, at once.
add
assert_works alice 3
delete_device alice 3
assert_eq "$(systemctl list-units --failed --plain --no-legend 'ublk-server-*')" "" "failed units"
