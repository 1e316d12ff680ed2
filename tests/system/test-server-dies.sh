#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A device does not outlive its server, however that ends (kill -9, SIGTERM, systemctl stop, idle or under load, with the block device
# open): within 2 s node, object, unit and state file are gone, and the number is free. Nobody's reader hangs.
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

for how in "kill_server KILL" "kill_server TERM" "kill_server SEGV" "systemctl stop ublk-server-3.service"; do
	add
	# shellcheck disable=SC2086 # words
	dies "$how" $how
done

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
