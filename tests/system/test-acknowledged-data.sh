#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever fdatasync acknowledged on the device is in the backing file after the server was killed in the middle of it: with direct I/O
# and through the page cache.
. "$(dirname "$0")/devices.sh"

BLOCKS=100

kill_in_the_middle() { # OPTIONS
	local file n log sum
	file=$(backing_file alice 8M)
	n=$(add_loop alice "$file" "$1")
	log=${file%/*}/acknowledged
	as alice "$HELPERS/numbered-writes" "/dev/ublkb$n" "$BLOCKS" > "$log" &
	local writer=$!
	# Once every block has been written and some a second time.
	wait_until 60 _lines "$log" $((BLOCKS + BLOCKS / 3)) || fail "the writer is too slow or stuck: $(tail -n 1 "$log")"
	kill -KILL "$(server_pid "$n")"
	wait "$writer" || fail "the writer met something else than an I/O error"
	sum=$("$HELPERS/numbered-writes" --check "$file" "$BLOCKS" < "$log") || fail "acknowledged data is lost (options '$1')"
	echo "$1: $sum"
	wait_until 2 _is_gone "$n" || fail "the device is not gone"
}

_lines() {
	[ "$(wc -l < "$1")" -ge "$2" ]
}

kill_in_the_middle ", 'direct': <true>"
kill_in_the_middle ", 'direct': <false>"
kill_in_the_middle ", 'queues': <uint32 2>"
