#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Delete ends within its deadline whatever the server does: one that was stopped (SIGSTOP) in the middle of requests cannot hold the
# device, nor keep others from theirs.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
n=$(add_loop alice "$file")
pid=$(server_pid "$n")
kill -STOP "$pid"
as alice dd if="/dev/ublkb$n" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null &
reader=$!
_has_request() {
	awk '{ exit !($1 + $2 > 0) }' "/sys/block/ublkb$n/inflight"
}
wait_until 10 _has_request || fail "the read is not under way"

since=$(milliseconds)
as alice "$BUS_CALL" --timeout 90 "$n" Delete '(@a{sv} {},)' > /dev/null &
deleter=$!
# Meanwhile, others are served.
other=$(add_device alice null "{'size': <uint64 1048576>}")
delete_device alice "$other"
wait "$deleter" || fail "Delete failed"
assert_within 25000 "$since" "Delete with a server that is stopped"
assert_gone "$n"
# Whether the read got its data in the end or an error is the server's business; it does not hang.
wait "$reader" || true
! kill -0 "$pid" 2>/dev/null || fail "the server is still there"
