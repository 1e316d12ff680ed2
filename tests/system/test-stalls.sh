#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# timeout: 600
# A backing that does not answer: readers get EIO before the kernel kills the server (which it does when a request is 30 s old), changes
# are refused as long as an old one may still happen, and when the backing is back everything works. And where the kernel does kill, it is
# because the server itself was stopped, and ublkd says so.
. "$(dirname "$0")/devices.sh"

modprobe -a dm_mod loop
directory=$(mktemp -d /run/ublk-stalls.XXXXXX)
chmod 755 "$directory"
at_exit rm -rf "$directory"

# slow NAME : /dev/mapper/NAME, a disk that can stop answering.
slow() {
	local disk

	truncate -s 64M "$directory/$1"
	disk=$(losetup --find --show "$directory/$1")
	at_exit losetup -d "$disk"
	dmsetup create "$1" --table "0 131072 linear $disk 0"
	at_exit dmsetup remove --retry "$1"
	# Nothing can be removed while it is suspended.
	at_exit go_on "$1"
}
stall() {
	dmsetup suspend --noflush --nolockfs "$1"
}
go_on() {
	dmsetup resume --nolockfs "$1"
}
slow below-file
slow alone
io() { # NUMBER OPERATION…
	"$HELPERS/block-io" "/dev/ublkb$1" "${@:2}" | xargs
}

stalled() { # DISK BACKING OPTIONS
	local disk=$1 backing=$2 n server since results
	n=$(add_loop alice "$backing" "$3")
	server=$(server_pid "$n")
	assert_eq "$(io "$n" write:0:1048576:1 write:2097152:1048576:1 flush)" "ok ok ok" "a backing that answers"
	echo 3 > /proc/sys/vm/drop_caches
	stall "$disk"
	since=$(milliseconds)
	# A reader and a writer.
	io "$n" read:0:524288:1 > "$directory/$disk.read" &
	local reader=$!
	io "$n" write:2097152:65536:2 flush > "$directory/$disk.write"
	wait "$reader"
	results="$(cat "$directory/$disk.read") $(cat "$directory/$disk.write")"
	echo "$backing: after $(($(milliseconds) - since)) ms: $results"
	[ $(($(milliseconds) - since)) -lt 90000 ] || fail "the errors come too late"
	case $results in
	"EIO EIO EIO" | "EIO ok EIO" | "EIO EIO ok") ;;
	*) fail "a backing that does not answer gives '$results'" ;;
	esac
	assert_eq "$(property "$n" State) $(property "$n" ServerPid)" "live $server" "the device and its server"
	if [ "$results" = "EIO EIO EIO" ]; then
		# An old write is still on its way: another one is refused, and at once.
		since=$(milliseconds)
		assert_eq "$(io "$n" write:2097152:65536:3)" EIO "a write on top of one that is not over"
		assert_within 10000 "$since" "the refusal"
	fi
	go_on "$disk"
	wait_until 30 _all_answered "$n" || fail "the server does not hear of what it had given up"
	wait_until 20 _writes "$n" || fail "writes do not go on"
	assert_eq "$(io "$n" write:2097152:65536:4 read:2097152:65536:4 read:0:524288:1 read:2162688:983040:1)" "ok ok ok ok" "afterwards"
	assert_eq "$(io "$n" flush)" ok "a flush afterwards"
	assert_eq "$("$HELPERS/block-io" --buffered "$backing" read:2097152:65536:4 read:2162688:983040:1 | xargs)" "ok ok" "the backing"
	assert_eq "$(property "$n" ServerPid)" "$server" "the server"
	delete_device alice "$n"
}
# What was given up keeps its tag from being used until the backing has answered.
_all_answered() {
	local log

	log=$(journalctl -q --since="$started" -u "ublk-server-$1" -o cat)
	grep -q 'the backing has not answered' <<< "$log" &&
		[ "$(grep -c 'the backing has not answered' <<< "$log")" = "$(grep -c 'answered a request that was given up' <<< "$log")" ]
}
_writes() {
	[ "$(io "$1" write:8388608:4096:1)" = ok ]
}

# ublkd_says EXPRESSION
ublkd_says() {
	wait_until 20 _ublkd_says "$1" || fail "ublkd does not say '$1': $(journalctl -q --since="$started" -u ublkd -o cat)"
}
_ublkd_says() {
	journalctl -q --since="$started" -u ublkd -o cat | grep -e "$1"
}

# The server itself is stopped: nobody can help it, and the kernel kills it.
stopped() {
	local n since
	n=$(add_loop alice "$(backing_file alice 1M)" "")
	kill -STOP "$(server_pid "$n")"
	since=$(milliseconds)
	assert_eq "$(io "$n" read:0:4096:1)" EIO "a read from a server that is stopped"
	assert_within 90000 "$since" "the end of a server that is stopped"
	wait_until 20 _is_gone "$n" || fail "the device is not gone"
	ublkd_says "device $n .*: its server was killed by signal 9 .*: the kernel does that when a request has been unanswered for 30 seconds"
}

# A file, through the page cache, and a disk, directly; and a server that is stopped. All at once, for it is all waiting.
udevadm settle
mkfs.ext4 -q -O ^has_journal /dev/mapper/below-file
mkdir "$directory/ext4"
mount /dev/mapper/below-file "$directory/ext4"
at_exit umount "$directory/ext4"
truncate -s 32M "$directory/ext4/image"
udevadm settle
chown alice: "$directory/ext4/image" "$(realpath /dev/mapper/alone)"
started=$(date '+%F %T')
pids=()
stalled below-file "$directory/ext4/image" ", 'direct': <false>, 'queues': <uint32 2>" &
pids+=($!)
stalled alone /dev/mapper/alone ", 'direct': <true>, 'depth': <uint32 4>" &
pids+=($!)
stopped &
pids+=($!)
failed=0
for pid in "${pids[@]}"; do
	wait "$pid" || failed=1
done
[ "$failed" = 0 ] || fail "see above"
