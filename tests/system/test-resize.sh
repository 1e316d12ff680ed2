#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A live device is made larger and smaller by its owner, with a file system on it that is in use; the backing file grows with it only
# where that is asked for, and a device is never made larger than what is behind it by mistake. Nobody else can, and a driver that
# cannot (Linux 6.12) is a clear error that leaves the file alone.
# timeout: 400
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 64M)
directory=${file%/*}
MIB=1048576
n=$(add_loop alice "$file" ", 'name': <'work'>")
size_of_file() {
	stat -c %s "$file"
}
check_size() { # WHAT MIB
	assert_eq "$(property "$n" Size)" $(($2 * MIB)) "$1: the property"
	assert_eq "$(cat "/sys/block/ublkb$n/size")" $(($2 * 2048)) "$1: the kernel's size"
	as alice ublk-client list | grep -qE "^/dev/ublkb$n +work +$(($2 * MIB)) " || fail "$1: $(as alice ublk-client list)"
}
check_size "at first" 64

# --- Where the driver cannot.
if ! kernel_has update-size; then
	for options in "" --grow-file; do
		# shellcheck disable=SC2086
		answer=$(expect_fail as alice ublk-client resize $options work 128M)
		if [ -n "$options" ]; then
			grep -q "kernel.*update-size" <<< "$answer" || fail "resize: $answer"
		fi
		echo "$answer"
	done
	answer=$(expect_fail as alice ublk-client resize work 32M)
	grep -q "kernel.*update-size" <<< "$answer" || fail "resize: $answer"
	check_size "unchanged" 64
	assert_eq "$(size_of_file)" $((64 * MIB)) "the file"
	delete_device alice "$n"
	exit 0
fi

# --- Wrong ones first: nothing changes by them.
wrong() { # TEXT WORDS…
	local text=$1 answer
	shift

	answer=$(expect_fail as alice ublk-client resize "$@")
	echo "resize $*: $answer"
	grep -qe "$text" <<< "$answer" || fail "resize $*: $answer"
	check_size "after resize $*" 64
	assert_eq "$(size_of_file)" $((64 * MIB)) "the file after resize $*"
}
wrong "$file, has 67108864 bytes.*--grow-file" work 128M
wrong "multiple of the logical block size" work 1000
wrong "multiple of the logical block size" --grow-file work 67109000
wrong "multiple of the logical block size" work 0
wrong "not a size" work large
wrong "not a size" work +1G
wrong "something is missing" work
wrong "File too large" --grow-file work 8191P
wrong "no device" nobodys 1G

# --- By others: bob, and root, who may resize it but not touch alice's file.
answer=$(expect_fail as bob ublk-client resize "alice/work" 32M)
grep -q "ot authorized" <<< "$answer" || fail "bob: $answer"
expect_fail as bob ublk-client resize --grow-file "alice/work" 128M | grep "somebody else" || fail "bob grows alice's file"
expect_fail as bob ublk-client resize "alice/work" 128M > /dev/null
expect_fail ublk-client resize --grow-file "alice/work" 128M | grep "somebody else" || fail "root grows alice's file"
check_size "after the others" 64
assert_eq "$(size_of_file)" $((64 * MIB)) "the file after the others"
ublk-client resize alice/work 32M
check_size "by root" 32
ublk-client resize alice/work 64M

# --- A file system, in use all the time: grown, and what was in it is still the same.
as alice /usr/sbin/mkfs.ext4 -q -F "/dev/ublkb$n"
mount "/dev/ublkb$n" /mnt
at_exit umount -q /mnt
dd if=/dev/urandom of=/mnt/before bs=1M count=20 status=none
before=$(sha256sum < /mnt/before)
sync
(while :; do
	dd if=/dev/zero of=/mnt/busy bs=64K count=32 conv=fsync status=none
done) &
busy=$!
answer=$(as alice ublk-client resize --grow-file --json work 256M)
assert_eq "$(jq '.devices[0].size' <<< "$answer")" $((256 * MIB)) "resize --json"
check_size "grown with its file" 256
assert_eq "$(size_of_file)" $((256 * MIB)) "the grown file"
/usr/sbin/resize2fs "/dev/ublkb$n" 2>&1 | tail -n 1
kill $busy
wait $busy 2> /dev/null || true
[ "$(stat -f -c %b /mnt)" -gt $((200 * MIB / $(stat -f -c %S /mnt))) ] || fail "the file system: $(stat -f /mnt)"
dd if=/dev/urandom of=/mnt/after bs=1M count=120 status=none
after=$(sha256sum < /mnt/after)
umount /mnt
/usr/sbin/e2fsck -fn "/dev/ublkb$n" > "$directory/e2fsck" 2>&1 || fail "e2fsck: $(cat "$directory/e2fsck")"
mount "/dev/ublkb$n" /mnt
assert_eq "$(sha256sum < /mnt/before)" "$before" "what was written before"
assert_eq "$(sha256sum < /mnt/after)" "$after" "what was written behind the old end"
umount /mnt

# --- A file that is large enough needs no option, and is left as it is.
as alice truncate -s 300M "$file"
as alice ublk-client resize work 300M
check_size "grown into its file" 300
as alice ublk-client resize --grow-file work 280M
check_size "made smaller" 280
assert_eq "$(size_of_file)" $((300 * MIB)) "the file of a smaller device"
# What lay behind the new end: not there for readers, and there again when the device is large again.
as alice ublk-client resize work 300M
printf 'behind the end' | as alice dd "of=/dev/ublkb$n" bs=1M seek=290 conv=notrunc,fsync status=none
as alice ublk-client resize work 280M
assert_eq "$(as alice dd "if=/dev/ublkb$n" bs=1M skip=279 status=none | wc -c)" $MIB "what is left before the new end"
assert_eq "$(as alice dd "if=/dev/ublkb$n" bs=1M skip=290 status=none 2> /dev/null | wc -c)" 0 "what is left behind it"
as alice ublk-client resize work 300M
assert_eq "$(as alice dd "if=/dev/ublkb$n" bs=14 count=1 skip=$((290 * MIB)) iflag=skip_bytes status=none)" "behind the end" "it"

# --- Another file by that name is not the device's: it is left alone.
as alice mv "$file" "$file.moved"
as alice truncate -s 300M "$file"
answer=$(expect_fail as alice ublk-client resize --grow-file work 320M)
grep -q "is not the file of this device" <<< "$answer" || fail "another file: $answer"
assert_eq "$(size_of_file)" $((300 * MIB)) "the other file"
as alice rm "$file"
expect_fail as alice ublk-client resize --grow-file work 320M | grep "No such file" || fail "no file"
as alice mv "$file.moved" "$file"

# --- Past the client it takes a word about the file, which nobody looks into; what the device has and the file has not is an error,
# and never data. When the file has it, it works.
refused InvalidArgument '"backed"' as alice "$BUS_CALL" "$n" Resize "(uint64 $((310 * MIB)), @a{sv} {})"
refused InvalidArgument '"backed"' as alice "$BUS_CALL" "$n" Resize "(uint64 $((310 * MIB)), {'backed': <false>})"
refused InvalidArgument '"backed"' as alice "$BUS_CALL" "$n" Resize "(uint64 $((310 * MIB)), {'backed': <uint32 1>})"
refused InvalidArgument '"grown"' as alice "$BUS_CALL" "$n" Resize "(uint64 $((310 * MIB)), {'grown': <true>})"
check_size "refused without a word about the file" 300
as alice "$BUS_CALL" "$n" Resize "(uint64 $((310 * MIB)), {'backed': <true>})" > /dev/null
expect_fail as alice dd "if=/dev/ublkb$n" of=/dev/null bs=1M skip=305 count=1 iflag=direct > /dev/null
expect_fail as alice dd if=/dev/zero "of=/dev/ublkb$n" bs=1M seek=305 count=1 oflag=direct > /dev/null
assert_eq "$(size_of_file)" $((300 * MIB)) "the file, written to behind its end"
as alice truncate -s 310M "$file"
as alice dd if=/dev/zero "of=/dev/ublkb$n" bs=1M seek=305 count=1 oflag=direct status=none
delete_device alice "$n"

# --- A file that is cut off where its device was before has lost nothing: flushes go on. One that has less than its device has.
flush_works() { # WHAT
	as alice dd if=/dev/zero "of=/dev/ublkb$n" bs=1M count=1 seek=10 oflag=direct conv=fsync,notrunc status=none || fail "$1: a write and a flush fail"
}
since=$(date '+%F %T.%6N')
for grown in "" 96M; do
	as alice truncate -s 64M "$file"
	n=$(add_loop alice "$file" ", 'name': <'work'>")
	if [ -n "$grown" ]; then
		as alice ublk-client resize --grow-file work "$grown"
		as alice dd if=/dev/zero "of=/dev/ublkb$n" bs=1M seek=90 count=1 oflag=direct conv=fsync,notrunc status=none
	fi
	as alice ublk-client resize work 32M
	as alice truncate -s 32M "$file"
	flush_works "a file that is cut off after its device (${grown:-not} made larger before)"
	as alice ublk-client resize --grow-file work 48M
	as alice dd if=/dev/zero "of=/dev/ublkb$n" bs=1M seek=40 count=1 oflag=direct conv=fsync,notrunc status=none
	as alice truncate -s 36M "$file"
	expect_fail as alice dd if=/dev/zero "of=/dev/ublkb$n" bs=1M count=1 oflag=direct conv=fsync,notrunc > /dev/null
	delete_device alice "$n"
done
_log_has_flush() {
	journalctl -q --since="$since" -u "ublk-server-*" -o cat | grep "flush failed: "
}
wait_until 20 _log_has_flush || fail "the servers' log has no flush"
as alice truncate -s 310M "$file"

# --- Devices with no file that could be made larger.
n=$(add_device alice null "{'size': <uint64 67108864>, 'name': <'work'>}")
expect_fail as alice ublk-client resize --grow-file work 128M | grep "no backing file" || fail "null with --grow-file"
expect_fail as alice ublk-client resize --grow-file --backed work 128M | grep exclude || fail "--grow-file --backed"
as alice ublk-client resize work 128M
check_size "null" 128
as alice ublk-client resize work 16M
check_size "null" 16
# ublkd knows its size after a restart too.
systemctl restart ublkd
check_size "after a restart" 16
delete_device alice "$n"

# --- A file that ublkd knows no path of: its owner's word, as there is no other.
exec 8<> "$file"
answer=$(as alice "$BUS_CALL" --fd 8 Manager AddDevice "('loop', {'file': <handle 0>, 'size': <uint64 67108864>, 'name': <'work'>})") ||
	fail "AddDevice: $answer"
exec 8>&-
n=$(sed -E "s,.*/([0-9]+)'.*,\1," <<< "$answer")
expect_fail as alice ublk-client resize work 128M | grep -e --backed || fail "a file without a path"
as alice ublk-client resize --backed work 128M
check_size "a file without a path" 128
delete_device alice "$n"
