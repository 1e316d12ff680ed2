#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A server gives the memory of its buffers back when nobody uses its device for some seconds, but never what a request has just
# been copied into: one that comes in the very moment finds the server stopped here, with the clock's tick before it in the queue.
. "$(dirname "$0")/devices.sh"
not_instrumented "it compares the memory of servers"

anonymous() { # KiB of the server's own pages
	awk '/^Anonymous:/ { print $2 }' "/proc/$1/smaps_rollup"
}

_has_given_back() {
	[ "$(anonymous "$pid")" -lt 512 ]
}

file=$(backing_file alice 64M)
n=$(add_loop alice "$file")
pid=$(server_pid "$n")
idle=$(anonymous "$pid")
as alice dd if=/dev/zero of="/dev/ublkb$n" bs=512k count=64 oflag=direct status=none
used=$(anonymous "$pid")
[ "$used" -gt $((idle + 512)) ] || fail "$used KiB after writing, $idle before: this test measures nothing"
wait_until 30 _has_given_back || fail "$(anonymous "$pid") KiB, ${used} after writing, are not given back"
echo "idle $idle KiB, in use $used KiB, idle again $(anonymous "$pid") KiB"

# The clock ticks every 4 s while there is memory to give back, and does so at the second tick. Here time itself is what is waited for.
pattern=${file%/*}/pattern
head -c 4096 /dev/urandom > "$pattern"
chmod 644 "$pattern"
as alice dd if="$pattern" of="/dev/ublkb$n" bs=4096 count=1 oflag=direct status=none
sleep 6
kill -STOP "$pid"
sleep 3
as alice dd if="$pattern" of="/dev/ublkb$n" bs=4096 count=1 seek=7 oflag=direct status=none &
wait_until 20 grep '[1-9]' "/sys/block/ublkb$n/inflight" || fail "the write does not get to the server"
kill -CONT "$pid"
wait "$!"
cmp <(dd if="$file" bs=4096 count=1 skip=7 status=none) "$pattern" || fail "what was acknowledged is not in the backing file"
wait_until 30 _has_given_back || fail "$(anonymous "$pid") KiB are not given back afterwards"
delete_device alice "$n"
