#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# timeout: 600
# What goes wrong below arrives as an error at the reader, never as data, and the server lives on: a disk that fails and comes back, a
# file system that shuts itself down, a full one, a file that is made shorter; and pages that the kernel lost are told to every queue.
. "$(dirname "$0")/devices.sh"

modprobe -a dm_mod loop xfs
directory=$(mktemp -d /run/ublk-errors.XXXXXX)
chmod 755 "$directory"
at_exit rm -rf "$directory"

# io NUMBER OPERATION… : the results in one line.
io() {
	"$HELPERS/block-io" "/dev/ublkb$1" "${@:2}" | xargs
}
# alive NUMBER PID : the same server serves still.
alive() {
	assert_eq "$(property "$1" State) $(property "$1" ServerPid)" "live $2" "the device and its server"
}

# complains NUMBER PATTERN : its user is told, by systemd and ublkd, what the server says.
_has_complained() {
	grep -qE "$2" <<< "$(property "$1" ServerError)"
}
complains() {
	wait_until 10 _has_complained "$1" "$2" || fail "the server's error is '$(property "$1" ServerError)', not '$2'"
}

# A disk that can be told to fail: /dev/mapper/sick, over memory.
modprobe null_blk nr_devices=1 gb=1 memory_backed=1 cache_size=1
at_exit modprobe -r null_blk
udevadm settle
SECTORS=$(blockdev --getsz /dev/nullb0)
sick() { # TABLE… : from now on; one line each
	printf '%s\n' "$@" | dmsetup load sick
	# Without waiting for what is on its way, which may be stuck.
	dmsetup suspend --noflush --nolockfs sick
	dmsetup resume --nolockfs sick
}
HEALTHY="0 $SECTORS linear /dev/nullb0 0"
BROKEN="0 $SECTORS error"
dmsetup create sick --table "$HEALTHY"
at_exit dmsetup remove --retry sick
udevadm settle
lend() {
	chown alice: "$(realpath /dev/mapper/sick)"
}

# Some bad sectors; then all of it, and back.
for mode in true false; do
	sick "$HEALTHY"
	udevadm settle
	lend
	n=$(add_loop alice /dev/mapper/sick ", 'direct': <$mode>, 'queues': <uint32 2>")
	server=$(server_pid "$n")
	assert_eq "$(io "$n" write:0:1048576:1 flush)" "ok ok" "a healthy disk"
	# The pages that the disk has are in the page cache, which has no errors.
	echo 3 > /proc/sys/vm/drop_caches
	sick "0 1000 linear /dev/nullb0 0" "1000 8 error" "1008 $((SECTORS - 1008)) linear /dev/nullb0 1008"
	assert_eq "$(io "$n" read:512000:4096:1 read:0:1048576:1 read:0:8192:1 read:516096:4096:1)" "EIO EIO ok ok" "reads of bad sectors"
	complains "$n" '^read of [0-9]+ bytes at [0-9]+ failed: Input/output error$'
	if [ "$mode" = true ]; then
		assert_eq "$(io "$n" write:512000:4096:2 fua:512000:4096:2 zero:512000:4096 punch:512000:4096)" "EIO EIO EIO EOPNOTSUPP" "writes to bad sectors"
		# Its own errors, which their writers have seen.
		delete_device alice "$n"
		n=$(add_loop alice /dev/mapper/sick ", 'direct': <$mode>, 'queues': <uint32 2>")
		server=$(server_pid "$n")
	fi
	sick "$BROKEN"
	echo 3 > /proc/sys/vm/drop_caches
	assert_eq "$(io "$n" read:0:4096:1 read:8388608:4096:1)" "EIO EIO" "reads of a dead disk"
	if [ "$mode" = true ]; then
		assert_eq "$(io "$n" write:0:4096:2 discard:0:4096 zero:0:4096)" "EIO EOPNOTSUPP EIO" "changes of a dead disk"
	else
		# The page cache takes it; the flush tells that it is lost, and goes on telling when the disk is back.
		assert_eq "$(io "$n" write:0:4096:2 flush flush fua:8192:4096:2)" "ok EIO EIO EIO" "a write that is lost, and flushes"
	fi
	alive "$n" "$server"
	sick "$HEALTHY"
	echo 3 > /proc/sys/vm/drop_caches
	if [ "$mode" = true ]; then
		assert_eq "$(io "$n" read:0:512000:1 write:512000:4096:3 flush read:512000:4096:3)" "ok ok ok ok" "a disk that has come back"
	else
		assert_eq "$(io "$n" read:16384:4096:1 flush)" "ok EIO" "a disk that has come back, and lost data"
	fi
	alive "$n" "$server"
	delete_device alice "$n"
	echo "a sick disk, direct $mode: ok, $SECONDS s"
done

# Two flushes from two queues at the very same moment, both waiting for pages that are then lost: Linux tells one of them. Both fail.
mkfifo "$directory/go" "$directory/told"
round() {
	local pid results
	sick "$HEALTHY"
	udevadm settle
	lend
	n=$(add_loop alice /dev/mapper/sick ", 'direct': <false>, 'queues': <uint32 2>")
	"$HELPERS/block-io" "/dev/ublkb$n" both:0:131072:1 <> "$directory/go" > "$directory/told" &
	pid=$!
	exec 5< "$directory/told"
	read -r results <&5
	assert_eq "$results" written "the writers"
	# Both flushes are stuck in the disk when it dies.
	dmsetup load sick --table "$BROKEN"
	dmsetup suspend --noflush --nolockfs sick
	echo > "$directory/go"
	wait_until 10 _both_wait "$pid" || fail "the flushes do not get going"
	dmsetup resume --nolockfs sick
	read -r results <&5
	exec 5<&-
	wait "$pid"
	assert_eq "$results" "EIO EIO" "two flushes at once"
	assert_eq "$(io "$n" flush)" EIO "a third"
	delete_device alice "$n"
}
_both_wait() { # PID ; in the kernel, for a disk
	[ "$(cat "/proc/$1"/task/*/stat | awk '$3 == "D"' | wc -l)" = 2 ]
}
for _ in $(seq "${ROUNDS:-3}"); do
	round
done
echo "two flushes at once: ok, $SECONDS s"

# A full file system: ENOSPC for that write, and no more once there is room; what was written before is there.
full() { # DIRECTORY OPTIONS
	local file=$1/image n server filler=$1/filler
	rm -f "$file"
	truncate -s 64M "$file"
	chown alice: "$file"
	n=$(add_loop alice "$file" "$2")
	server=$(server_pid "$n")
	assert_eq "$(io "$n" write:0:1048576:1 flush)" "ok ok" "the first mebibyte"
	dd if=/dev/zero of="$filler" bs=64k status=none 2>/dev/null && fail "the file system does not get full"
	sync -f "$1"
	assert_eq "$(io "$n" write:33554432:1048576:1 fua:50331648:1048576:1 read:0:1048576:1)" "ENOSPC ENOSPC ok" "writes to a full file system"
	alive "$n" "$server"
	rm "$filler"
	sync -f "$1"
	assert_eq "$(io "$n" write:33554432:1048576:2 flush fua:50331648:1048576:2 read:33554432:1048576:2)" "ok ok ok ok" "writes when there is room"
	assert_eq "$("$HELPERS/block-io" --buffered "$file" read:33554432:1048576:2 read:50331648:1048576:2 | xargs)" "ok ok" "the file"
	alive "$n" "$server"
	delete_device alice "$n"
	echo "a full file system, $1 $2: ok, $SECONDS s"
}
mkdir "$directory/tmpfs" "$directory/ext4" "$directory/xfs"
mount -t tmpfs -o size=8M none "$directory/tmpfs"
at_exit umount "$directory/tmpfs"
full "$directory/tmpfs" ""
truncate -s 32M "$directory/disk"
mkfs.ext4 -q -O ^has_journal -m 0 "$directory/disk"
mount -o loop "$directory/disk" "$directory/ext4"
at_exit umount "$directory/ext4"
full "$directory/ext4" ", 'direct': <true>"
full "$directory/ext4" ", 'direct': <false>"

# A file that is made shorter under the device; longer again it is what its owner made of it, but no flush says that nothing is lost.
for mode in true false; do
	file=$(backing_file alice 16M)
	n=$(add_loop alice "$file" ", 'direct': <$mode>")
	server=$(server_pid "$n")
	assert_eq "$(io "$n" write:0:4194304:1 write:12582912:4194304:1 flush)" "ok ok ok" "a whole file"
	truncate -s 8M "$file"
	assert_eq "$(io "$n" read:12582912:4096:1 zeroes:8388608:4096 zeroes:8384512:8192 read:0:4194304:1)" "EIO EIO EIO ok" "reads of a cut file"
	assert_eq "$(io "$n" write:12582912:4096:2 fua:8388608:4096:2 discard:9437184:4096 zero:9437184:4096)" "EIO EIO EIO EIO" "changes of what is cut off"
	assert_eq "$(stat -c %s "$file")" 8388608 "the size of the file"
	assert_eq "$(io "$n" zeroes:9437184:4096 write:4096:4096:2 flush)" "EIO ok EIO" "a flush of a cut file"
	alive "$n" "$server"
	complains "$n" "shorter than its device"
	truncate -s 16M "$file"
	assert_eq "$(io "$n" read:4096:4096:2 flush)" "ok EIO" "a flush of a file that is longer again"
	delete_device alice "$n"
	echo "a file that is made shorter, direct $mode: ok, $SECONDS s"
done

# A file system that shuts itself down because its disk has gone.
sick "$HEALTHY"
udevadm settle
mkfs.xfs -q -f /dev/mapper/sick
mount /dev/mapper/sick "$directory/xfs"
at_exit umount "$directory/xfs"
truncate -s 64M "$directory/xfs/image"
chown alice: "$directory/xfs/image"
n=$(add_loop alice "$directory/xfs/image" "")
server=$(server_pid "$n")
assert_eq "$(io "$n" write:0:1048576:1 flush)" "ok ok" "a file on xfs"
sick "$BROKEN"
assert_eq "$(io "$n" write:2097152:4096:1 flush read:0:4096:1)" "EIO EIO EIO" "a file system without its disk"
alive "$n" "$server"
delete_device alice "$n"
sick "$HEALTHY"
echo "a file system that shuts down: ok, $SECONDS s"
