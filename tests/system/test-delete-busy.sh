#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Stop and Delete end within their deadline whatever the server does: one that was stopped (SIGSTOP) in the middle of requests cannot hold
# the device, nor keep others from theirs.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[timeouts]
stop=4
E
file=$(backing_file alice 4M)
_has_request() {
	awk '{ exit !($1 + $2 > 0) }' "/sys/block/ublkb$n/inflight"
}
# A read of device n that its server does not answer.
begin_read() {
	as alice dd if="/dev/ublkb$n" of=/dev/null bs=4096 count=1 iflag=direct status=none 2>/dev/null &
	reader=$!
	wait_until 10 _has_request || fail "the read is not under way"
}

# Stop is answered, and goes on: until it is over nothing else is done to the device that would have to wait for it. (A server of alice's
# own; one that the system runs would be told to end.)
as alice "$HELPERS/attached-server" --hostile silent 1048576 > "${file%/*}/output" &
_is_live() {
	grep -q ^live "${file%/*}/output"
}
wait_until 20 _is_live || fail "a silent server's device does not get live"
n=$(sed -n 's/^live //p' "${file%/*}/output")
begin_read
since=$(milliseconds)
refused TimedOut "does not end the requests" as alice "$BUS_CALL" "$n" Stop '(@a{sv} {},)'
assert_within 8000 "$since" "Stop with a server that is silent"
assert_eq "$(property "$n" State)" stopping "the state meanwhile"
for call in "Stop (@a{sv} {},)" "Resize (uint64 1048576, @a{sv} {})"; do
	refused InvalidState "is stopping" as alice "$BUS_CALL" "$n" "${call%% *}" "${call#* }"
done
pkill -KILL -u alice -x attached-server
wait_until 20 _is_gone "$n" || assert_gone "$n"
wait "$reader" || true

n=$(add_loop alice "$file")
pid=$(server_pid "$n")
kill -STOP "$pid"
begin_read

since=$(milliseconds)
as alice "$BUS_CALL" --timeout 90 "$n" Delete '(@a{sv} {},)' > /dev/null &
deleter=$!
# Meanwhile, others are served.
other=$(add_device alice null "{'size': <uint64 1048576>}")
delete_device alice "$other"
wait "$deleter" || fail "Delete failed"
assert_within 9000 "$since" "Delete with a server that is stopped"
assert_gone "$n"
# Whether the read got its data in the end or an error is the server's business; it does not hang.
wait "$reader" || true
! kill -0 "$pid" 2>/dev/null || fail "the server is still there"
