#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# OpenBlockDevice hands out an open descriptor of the very device: to its owner and to root, for reading or for both as it was asked, and
# to nobody else. It is the owner who opens: an owner who has no right to the node gets an error, ublkd keeps no descriptor, and a stuck
# or dead opener harms only the call that it is for.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 8M)
n=$(add_loop alice "$file" ", 'name': <'opened'>")

open_and() { # USER OPTIONS COMMAND
	as "$1" "$BUS_CALL" --exec "$3" "$n" OpenBlockDevice "($2,)"
}
read='dd bs=4096 count=1 status=none <&9 | tr -d "\\000"; echo'
# Where the reading ended: the descriptor has one position.
write='echo written | dd bs=4096 conv=sync,fsync status=none >&9'

output=$(open_and alice '@a{sv} {}' "$read; $write")
grep -qF "the first sector of a disk of alice" <<< "$output" || fail "alice reads '$output'"
assert_eq "$(dd if="$file" bs=4096 skip=1 count=1 status=none | tr -d '\0')" written "the file"
output=$(open_and alice "{'read-only': <true>}" "$read; $write || echo refused; stat -Lc %t:%T /dev/fd/9")
grep -qF "the first sector of a disk of alice" <<< "$output" || fail "alice reads '$output'"
grep -qx refused <<< "$output" || fail "a descriptor for reading is written to: $output"
grep -qx "$(stat -c %t:%T "/dev/ublkb$n")" <<< "$output" || fail "it is another device: $output"
output=$(as root "$BUS_CALL" --exec "$read" "$n" OpenBlockDevice '(@a{sv} {},)')
grep -qF "the first sector of a disk of alice" <<< "$output" || fail "root reads '$output'"
output=$(as alice ublk-client open opened -- sh -c "dd bs=4096 count=1 status=none <&3 | tr -d '\\000'")
assert_eq "$output" "the first sector of a disk of alice" "what ublk-client open reads"

# --- To nobody else, and with nothing that is not known.
refused "(AccessDenied|InteractiveAuthorizationRequired)" . as bob "$BUS_CALL" "$n" OpenBlockDevice '(@a{sv} {},)'
refused InvalidArgument "no option" as alice "$BUS_CALL" "$n" OpenBlockDevice "({'write': <true>},)"
refused InvalidArgument "wants a boolean" as alice "$BUS_CALL" "$n" OpenBlockDevice "({'read-only': <'yes'>},)"

# --- The owner's own right counts.
as alice chmod 400 "/dev/ublkb$n"
refused AccessDenied "may not open" as alice "$BUS_CALL" "$n" OpenBlockDevice '(@a{sv} {},)'
as alice chmod 600 "/dev/ublkb$n"

# --- ublkd keeps none.
kept() {
	find "/proc/$(ublkd_pid)/fd" -lname "/dev/ublkb*" | wc -l
}
_none_kept() {
	[ "$(kept)" = 0 ]
}
wait_until 10 _none_kept || fail "ublkd has $(kept) descriptors of block devices open"

# --- alice stops whatever opens her device: nobody waits for that but her own call.
flag=${file%/*}/stopping
as alice touch "$flag"
at_exit rm -f "$flag"
as alice bash -c "while [ -e '$flag' ]; do pkill -STOP -x ublk-open; done" &
as alice "$BUS_CALL" --timeout 100 "$n" OpenBlockDevice '(@a{sv} {},)' > "${file%/*}/answer" 2>&1 &
call=$!
_stopped_or_answered() {
	pgrep -x -r T ublk-open || ! kill -0 "$call"
}
wait_until 30 _stopped_or_answered || fail "nothing opens it"
since=$(milliseconds)
m=$(add_device root null "{'size': <uint64 1048576>}")
delete_device root "$m"
echo "another device, made and deleted meanwhile: $(($(milliseconds) - since)) ms"
rm -f "$flag"
pkill -KILL -x ublk-open || true
wait "$call" || grep "^error org.ublk1.Error" "${file%/*}/answer" > /dev/null || fail "the stopped opener: $(cat "${file%/*}/answer")"
assert_works alice "$n"

# --- She has taken hold of it: what she sends is looked at, and nothing of it stays.
mount --bind "$HELPERS/wrong-opener" /usr/libexec/ublkd/ublk-open
at_exit eval 'umount /usr/libexec/ublkd/ublk-open 2> /dev/null; rm -f /run/wrong-opener'
m=$(add_device alice null "{'size': <uint64 1048576>}")
before=$(descriptors)
for sends in "1 w /dev/ublkb$m" "1 r /dev/ublkb$n" "1 path /dev/ublkb$n" "1 w /dev/null" "1 w $file"; do
	echo "$sends" > /run/wrong-opener
	refused AccessDenied "another descriptor" as alice "$BUS_CALL" "$n" OpenBlockDevice '(@a{sv} {},)'
done
for sends in "2 w /dev/ublkb$n" "3 w /dev/ublkb$n" "8 w /dev/null" "0 - -"; do
	echo "$sends" > /run/wrong-opener
	refused Kernel . as alice "$BUS_CALL" "$n" OpenBlockDevice '(@a{sv} {},)'
done
_none_more() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 10 _none_more || fail "ublkd had $before descriptors and has $(descriptors): $(ls -l "/proc/$(ublkd_pid)/fd")"
echo "1 w /dev/ublkb$n" > /run/wrong-opener
as alice "$BUS_CALL" "$n" OpenBlockDevice '(@a{sv} {},)' > /dev/null || fail "not even the right one"
umount /usr/libexec/ublkd/ublk-open
delete_device alice "$m"

# --- Not before it is live, not for writing where it is read-only, not when it is gone.
delete_device alice "$n"
expect_fail as alice "$BUS_CALL" "$n" OpenBlockDevice '(@a{sv} {},)' > /dev/null
n=$(add_loop alice "$file" ", 'read-only': <true>")
refused InvalidArgument "read-only" as alice "$BUS_CALL" "$n" OpenBlockDevice '(@a{sv} {},)'
output=$(open_and alice "{'read-only': <true>}" "$read")
grep -qF "the first sector of a disk of alice" <<< "$output" || fail "alice reads '$output'"
delete_device alice "$n"
