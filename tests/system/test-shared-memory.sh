#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shared memory: an application's memfd goes through ublkd to the driver and to the server, requests in it are served without a copy
# (the server counts them) and rightly, whatever is no such memory is refused by name, and whoever dies in the middle (application,
# server, ublkd), all of it is let go. A kernel without it says so.
# timeout: 600
. "$(dirname "$0")/devices.sh"

none='@a{sv} {}'
keep="{'keep': <true>}"

# register NUMBER KIND SIZE [OPTIONS] : as alice, with a memfd of that kind.
register() {
	as alice "$HELPERS/memfd-exec" "$2" "$3" "$BUS_CALL" --fd 8 "$1" RegisterBuffer "(handle 0, ${4:-$none})"
}

unregister() { # NUMBER INDEX
	as alice "$BUS_CALL" "$1" UnregisterBuffer "(uint32 $2, $none)"
}

app() { # NUMBER MODE… : the application, as alice
	as alice "$HELPERS/shared-memory" "$@"
}

# Pages that are pinned in the whole system; only differences mean something.
pinned() {
	echo 1 > /proc/sys/vm/stat_refresh
	awk '$1 == "nr_foll_pin_acquired" { n += $2 } $1 == "nr_foll_pin_released" { n -= $2 } END { print n }' /proc/vmstat
}

_shares() { # NUMBER BYTES
	[ "$(property "$1" SharedMemory)" = "$2" ]
}

_pinned_is() {
	[ "$(pinned)" = "$1" ]
}

_has_line() { # FILE TEXT
	grep -q "$2" "$1"
}

# --- Where the kernel has none of it.
if ! kernel_has shmem-zc; then
	refused NotSupported "shmem-zc.*7\.1" as alice "$BUS_CALL" Manager AddDevice \
		"('null', {'size': <uint64 1048576>, 'shared-memory': <true>})"
	refused NotSupported "shmem-zc.*7\.1" as alice "$BUS_CALL" Manager CreateDevice "({'shared-memory': <true>},)"
	grep -q "7\.1" <<< "$(expect_fail as alice ublk-client add -t null --size 1M --shared-memory)" || fail "ublk-client does not say why"
	n=$(add_device alice null "{'size': <uint64 1048576>, 'shared-memory': <false>}")
	refused NotSupported "shared-memory" register "$n" sealed 65536
	delete_device alice "$n"
	exit 0
fi

before=$(pinned)

# --- It works, direct and buffered, and the copy is gone: the server has served all that began with a page.
for direct in true false; do
	file=$(backing_file alice 16M)
	n=$(add_loop alice "$file" ", 'shared-memory': <true>, 'direct': <$direct>, 'max-io-size': <uint32 65536>")
	property "$n" FlagNames | grep shmem-zc > /dev/null || fail "the device has no flag shmem-zc"
	answer=$(app "$n" check)
	echo "$answer"
	assert_eq "$answer" "registered 0
served 32 of 32" "what the application and the server counted"
	assert_eq "$(property "$n" SharedMemory)" 0 "what is shared afterwards"
	assert_eq "$(pinned)" "$before" "what is pinned afterwards"
	answer=$(app "$n" check)
	assert_eq "${answer%%
*}" "registered 0" "the index, the second time"
	if [ "$direct" = true ]; then
		delete_device alice "$n"
	fi
done

# --- Who has the memory while it is shared: the server and the kernel, not ublkd. And nobody, when the application has died.
directory=$(scratch alice)
mkfifo "$directory/stdin"
app "$n" hold < "$directory/stdin" > "$directory/hold" 2>&1 &
exec 5> "$directory/stdin"
wait_until 10 _has_line "$directory/hold" registered || fail "hold: $(cat "$directory/hold")"
assert_eq "$(property "$n" SharedMemory)" 4194304 "what is shared"
as alice ublk-client info "$n" | grep -x "Shared memory: *4M (4194304 bytes)" > /dev/null || fail "info: $(as alice ublk-client info "$n")"
assert_eq "$(($(pinned) - before))" 1024 "the pages that are pinned"
grep -q memfd: "/proc/$(server_pid "$n")/maps" || fail "the server does not have the memory"
! grep -q memfd: "/proc/$(ublkd_pid)/maps" || fail "ublkd still has the memory mapped"
pkill -KILL -u alice -x shared-memory
wait_until 10 _shares "$n" 0 || fail "what a dead application shared is not let go"
assert_eq "$(pinned)" "$before" "what is pinned when the application has died"
! grep -q memfd: "/proc/$(server_pid "$n")/maps" || fail "the server still has the memory of a dead application"
exec 5>&-
wait

# --- A caller that only calls: the buffer goes with it, unless it shall stay.
register "$n" sealed 65536
wait_until 10 _shares "$n" 0 || fail "the buffer outlives its caller"
assert_eq "$(register "$n" sealed 65536 "$keep")" "ok (uint32 0,)"
assert_eq "$(register "$n" future-write 4096 "$keep")" "ok (uint32 1,)"
assert_eq "$(register "$n" read-only 4096 "$keep")" "ok (uint32 2,)"
assert_eq "$(register "$n" write 4096 "$keep")" "ok (uint32 3,)"
assert_eq "$(property "$n" SharedMemory)" $((65536 + 3 * 4096))
refused NotFound "no shared memory 4" unregister "$n" 4
assert_eq "$(unregister "$n" 1)" "ok (uint64 0,)"
refused NotFound "no shared memory 1" unregister "$n" 1
# Once is enough.
answer=$(as alice "$HELPERS/memfd-exec" sealed 8192 sh -c "$BUS_CALL --fd 8 $n RegisterBuffer \"(handle 0, $keep)\"
	$BUS_CALL --fd 8 $n RegisterBuffer \"(handle 0, $keep)\" || true")
assert_eq "${answer%%
*}" "ok (uint32 1,)" "the index that was free"
assert_refusal Exists "registered with device $n already" "${answer##*
}"
for i in 0 1 2 3; do
	unregister "$n" "$i"
done
assert_eq "$(pinned)" "$before" "what is pinned when all was taken back"

# --- What is no memory to share.
open=$(descriptors)
refused InvalidArgument "must be sealed" register "$n" unsealed 65536
refused InvalidArgument "must be sealed" register "$n" shrinkable 65536
refused InvalidArgument "must be sealed" register "$n" open 65536
refused InvalidArgument "has holes" register "$n" holes 65536
refused InvalidArgument "page size" register "$n" sealed 65537
refused InvalidArgument "page size" register "$n" sealed 0
refused InvalidArgument "cannot be read" register "$n" write-only 65536
refused InvalidArgument "not a memfd" register "$n" path 65536
refused InvalidArgument "huge pages" register "$n" huge 2097152
answer=$(register "$n" secret 65536 2>&1 || true)
case $answer in
memfd-exec:*) echo "no memfd_secret here" ;;
*) assert_refusal InvalidArgument "not a memfd" "$answer" ;;
esac
truncate -s 65536 "$directory/file" /dev/shm/ublk-test
at_exit rm -f /dev/shm/ublk-test
chmod 666 "$directory/file" /dev/shm/ublk-test
refused InvalidArgument "must be sealed" as alice "$BUS_CALL" --fd 8 "$n" RegisterBuffer "(handle 0, $none)" 8<> /dev/shm/ublk-test
for wrong in "$directory/file" /dev/null /dev/zero; do
	refused InvalidArgument "not a memfd" as alice "$BUS_CALL" --fd 8 "$n" RegisterBuffer "(handle 0, $none)" 8<> "$wrong"
done
refused InvalidArgument "not a memfd" as alice "$BUS_CALL" --fd 8 "$n" RegisterBuffer "(handle 0, $none)" 8< <(sleep 0.1)
refused InvalidArgument "descriptor" as alice "$BUS_CALL" "$n" RegisterBuffer "(handle 0, $none)"
refused InvalidArgument "descriptor -1" as alice "$HELPERS/memfd-exec" sealed 4096 "$BUS_CALL" --fd 8 "$n" RegisterBuffer "(handle -1, $none)"
refused InvalidArgument "no option" register "$n" sealed 4096 "{'key': <true>}"
refused InvalidArgument "given twice" register "$n" sealed 4096 "{'memory': <handle 0>}"
refused InvalidArgument "boolean" register "$n" sealed 4096 "{'keep': <1>}"
refused InvalidArgument "from 0 to 65535" unregister "$n" 65536

# --- Whose device it is, and which.
refused "(AccessDenied|InteractiveAuthorizationRequired)" "." as bob "$HELPERS/memfd-exec" sealed 4096 \
	"$BUS_CALL" --fd 8 "$n" RegisterBuffer "(handle 0, $none)"
refused "(AccessDenied|InteractiveAuthorizationRequired)" "." as bob "$BUS_CALL" "$n" UnregisterBuffer "(uint32 0, $none)"
plain=$(add_device alice null "{'size': <uint64 1048576>}")
refused NotSupported "option.*shared-memory" register "$plain" sealed 4096
delete_device alice "$plain"
refused InvalidArgument "exclude each other" as alice "$BUS_CALL" Manager CreateDevice \
	"({'shared-memory': <true>, 'need-get-data': <true>},)"
assert_eq "$(pinned)" "$before" "what is pinned by what was refused"
_descriptors_are() {
	[ "$(descriptors)" -le "$1" ]
}
wait_until 10 _descriptors_are "$open" || fail "ublkd has $(descriptors) descriptors open, not $open"

# hammering DEVICE : an application that writes and reads all the time; its output is in $directory/hammer.
hammering() {
	: > "$directory/hammer"
	app "$1" hammer > "$directory/hammer" 2>&1 &
	wait_until 10 _has_line "$directory/hammer" registered || fail "hammer: $(cat "$directory/hammer")"
}
_requests_exceed() { # NUMBER COUNT
	[ "$(awk '{ print $1 + $5 }' "/sys/block/ublkb$1/stat")" -gt "$2" ]
}
goes_on() { # NUMBER
	local count

	count=$(awk '{ print $1 + $5 }' "/sys/block/ublkb$1/stat")
	wait_until 20 _requests_exceed "$1" $((count + 50)) || fail "I/O does not go on: $(cat "$directory/hammer")"
}

# --- Taken back while it is in use: the I/O goes on, with copies.
hammering "$n"
goes_on "$n"
answer=$(unregister "$n" 0)
served=$(sed -n 's/^ok (uint64 \([0-9]*\),)$/\1/p' <<< "$answer")
[ "${served:-0}" -gt 20 ] || fail "the server says that it has served '$answer'"
goes_on "$n"
# (Direct I/O that is under way pins its 16 pages too.)
[ "$(($(pinned) - before))" -lt 512 ] || fail "$(($(pinned) - before)) pages are pinned when it was taken back in use"
pkill -KILL -u alice -x shared-memory
wait

# --- A server that does not answer keeps those waiting who want something of it, and nobody else.
register "$n" sealed 65536 "$keep"
pid=$(server_pid "$n")
kill -STOP "$pid"
as alice dd if="/dev/ublkb$n" of=/dev/null bs=4096 count=1 iflag=direct status=none &
wait_until 20 grep -q '[1-9]' "/sys/block/ublkb$n/inflight" || fail "the read does not get to the server"
unregister "$n" 0 > "$directory/unregister" 2>&1 &
# (A size that no device can have: it stays as large as it is.)
_is_kept_waiting() {
	{ as alice "$BUS_CALL" "$n" Resize "(uint64 1, @a{sv} {})" || true; } | grep 'Error.Busy' > /dev/null
}
wait_until 10 _is_kept_waiting || fail "the buffer is not being taken back"
other=$(add_device alice null "{'size': <uint64 1048576>}")
delete_device alice "$other"
assert_eq "$(cat "$directory/unregister")" "" "the answer, while the server is stopped"
kill -CONT "$pid"
wait
assert_eq "$(cat "$directory/unregister")" "ok (uint64 0,)" "the answer, late"

# --- ublkd dies: what is shared is served on, the next ublkd knows it and takes it back when its application goes.
hammering "$n"
goes_on "$n"
old=$(ublkd_pid)
[ "$old" -gt 1 ]
kill -KILL "$old"
_restarted() {
	[ "$(ublkd_pid)" != 0 ] && [ "$(ublkd_pid)" != "$old" ] && _ublkd_answers
}
wait_until 10 _restarted || fail "ublkd does not come back"
wait_until 10 _shares "$n" 4194304 || fail "the next ublkd does not know what is shared: $(property "$n" SharedMemory)"
goes_on "$n"
# The way to the server is still there …
answer=$(app "$n" check)
assert_eq "$answer" "registered 1
served 32 of 32" "what is shared by the next ublkd"
# … but not when ublkd was stopped for good in between. What is shared stays so.
systemctl stop ublkd
start_ublkd
wait_until 10 _shares "$n" 4194304 || fail "the third ublkd does not know what is shared: $(property "$n" SharedMemory)"
refused InvalidState "make the device anew" register "$n" sealed 4096
goes_on "$n"
pkill -KILL -u alice -x shared-memory
wait
wait_until 10 _shares "$n" 0 || fail "the next ublkd does not let go"
assert_eq "$(pinned)" "$before" "what is pinned after all"
delete_device alice "$n"

# --- What a ublkd that was killed had only planned to register is cleared away.
n=$(add_device alice null "{'size': <uint64 1048576>, 'shared-memory': <true>}")
sed -i 's,^BUFFERS=.*,&0/4096/- ,' "/run/ublkd/devices/$n"
old=$(ublkd_pid)
[ "$old" -gt 1 ]
kill -KILL "$old"
wait_until 10 _restarted || fail "ublkd does not come back"
wait_until 10 _shares "$n" 4096 || fail "the state file is not read"
refused Busy "try again" register "$n" sealed 65536 "$keep"
wait_until 10 _shares "$n" 0 || fail "what is not there stays"
assert_eq "$(register "$n" sealed 65536 "$keep")" "ok (uint32 0,)"
delete_device alice "$n"

# --- The server dies: the I/O fails, the device goes, and so does what it pinned.
n=$(add_device alice null "{'size': <uint64 1073741824>, 'shared-memory': <true>}")
hammering "$n"
register "$n" sealed 1048576 "$keep"
kill -KILL "$(server_pid "$n")"
wait_until 10 _is_gone "$n" || assert_gone "$n"
wait_until 10 _has_line "$directory/hammer" ended || fail "the application hangs"
wait_until 10 _pinned_is "$before" || fail "$(($(pinned) - before)) pages stay pinned"
wait

# --- A device deleted with all that it shares.
n=$(add_device alice null "{'size': <uint64 1073741824>, 'shared-memory': <true>}")
register "$n" sealed 1048576 "$keep"
delete_device alice "$n"
assert_eq "$(pinned)" "$before" "what is pinned by a deleted device"

# --- A server of alice's own hands.
file=$(backing_file alice 16M)
as alice ublk-client serve -t loop -f "$file" --shared-memory --max-io-size 64K > "$directory/serve" 2>&1 &
wait_until 20 _has_line "$directory/serve" /dev/ublkb || fail "serve: $(cat "$directory/serve")"
n=$(sed -n 's,^/dev/ublkb,,p' "$directory/serve")
answer=$(app "$n" check)
assert_eq "$answer" "registered 0
served 32 of 32" "with ublk-client serve"
delete_device alice "$n"
wait

# --- The limits.
configure <<'E'
[limits]
shared-memory-per-user=1M
shared-buffers-per-user=3
E
n=$(add_device alice null "{'size': <uint64 1048576>, 'shared-memory': <true>}")
other=$(add_device alice null "{'size': <uint64 1048576>, 'shared-memory': <true>}")
refused LimitExceeded "shared-memory-per-user" register "$n" sealed $((1048576 + 4096))
register "$n" sealed 524288 "$keep"
refused LimitExceeded "shared-memory-per-user" register "$other" sealed $((524288 + 4096))
register "$other" sealed 262144 "$keep"
register "$n" sealed 4096 "$keep"
refused LimitExceeded "shared-buffers-per-user" register "$other" sealed 4096
unregister "$n" 0
register "$other" sealed 524288 "$keep"
delete_device alice "$other"
register "$n" sealed 1044480 "$keep"
delete_device alice "$n"
assert_eq "$(pinned)" "$before" "what is pinned in the end"
