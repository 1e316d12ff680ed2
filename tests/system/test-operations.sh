#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# timeout: 600
# Each operation over each kind of backing, as the table in docs/server.md tells: what it does is seen in the backing itself, and what a
# backing cannot do is not announced and is refused. What this prints is that table.
. "$(dirname "$0")/devices.sh"

modprobe -a loop xfs vfat
directory=$(mktemp -d /run/ublk-operations.XXXXXX)
chmod 755 "$directory"
at_exit rm -rf "$directory"

# A loop device in memory cannot zero a range and keep the space; it forgets that it can give space back, too, once that was tried.
stored=$(mktemp -d /var/tmp/ublk-operations.XXXXXX)
at_exit rm -rf "$stored"

# disk SECTOR SIZE [DIRECTORY] : a new disk that has a cache and counts flushes, over a sparse file.
disk() {
	local file

	file=$(mktemp "${3:-$directory}/disk.XXXXXX")
	truncate -s "$2" "$file"
	losetup --find --show --sector-size "$1" "$file"
}
# mounted DISK TYPE [OPTION…] : alice's own directory in a new file system.
mounted() {
	local where=$directory/$2-${1##*/}
	"mkfs.$2" "${@:3}" "$1" > /dev/null
	mkdir "$where"
	case $2 in
	vfat) mount -o "uid=$(id -u alice)" "$1" "$where" ;;
	*)
		mount "$1" "$where"
		chown alice: "$where"
		;;
	esac
	printf '%s\n' "$where"
}

# row NAME BACKING DISK ZEROES OPTIONS… : one row for each set of options.
row() {
	local name=$1 backing=$2 options n result
	chown alice: "$backing" 2>/dev/null || true
	for options in "${@:5}"; do
		n=$(add_loop alice "$backing" "$options")
		result=$("$HELPERS/operations" "/dev/ublkb$n" "$backing" "$3" "$4") || fail "$name, options '$options'"
		echo "$name${options:+ ($options)}: $result"
		delete_device alice "$n"
	done
}
direct=", 'direct': <true>"
buffered=", 'direct': <false>"

ext4_disk=$(disk 512 3G)
at_exit losetup -d "$ext4_disk"
ext4=$(mounted "$ext4_disk" ext4 -q -b 4096 -E lazy_itable_init=1)
at_exit umount "$ext4"
xfs_disk=$(disk 512 3G)
at_exit losetup -d "$xfs_disk"
xfs=$(mounted "$xfs_disk" xfs -q)
at_exit umount "$xfs"
vfat_disk=$(disk 512 256M)
at_exit losetup -d "$vfat_disk"
vfat=$(mounted "$vfat_disk" vfat)
at_exit umount "$vfat"

for where in "$ext4" "$xfs"; do
	name=$(findmnt -no FSTYPE "$where")
	below=$(basename "$(findmnt -no SOURCE "$where")")
	fallocate -l 1100M "$where/full"
	row "file on $name" "$where/full" "$below" holes "$direct"
	rm "$where/full"
	truncate -s 1100M "$where/sparse"
	row "sparse file on $name" "$where/sparse" "$below" holes "$buffered"
	rm "$where/sparse"
done

truncate -s 1100M "$directory/tmpfs"
row "file on tmpfs" "$directory/tmpfs" - holes ""
rm "$directory/tmpfs"

# No holes at all, and no other way to make zeroes.
truncate -s 128M "$vfat/file"
expect_fail fallocate -p -o 0 -l 4096 "$vfat/file" > /dev/null
row "file without punch-hole (vfat)" "$vfat/file" "${vfat_disk##*/}" absent ""

small=$(disk 512 1100M "$stored")
at_exit losetup -d "$small"
row "block device" "$small" "${small##*/}" zeroes "$direct"
large=$(disk 4096 1100M "$stored")
at_exit losetup -d "$large"
assert_eq "$(blockdev --getss "$large")" 4096 "the sector size of the disk"
row "block device of 4096-byte sectors" "$large" "${large##*/}" zeroes "$direct" "$buffered"

# A disk without any way to make zeroes.
modprobe null_blk nr_devices=1 gb=1 memory_backed=1 cache_size=1
at_exit modprobe -r null_blk
udevadm settle
assert_eq "$(cat /sys/block/nullb0/queue/write_zeroes_max_bytes)" 0 "what null_blk zeroes at once"
row "block device without write zeroes" /dev/nullb0 nullb0 absent "$buffered"

# A file on a disk of large sectors: of 512 bytes, through the page cache; of 4096 where that is asked for, directly.
mkfs.ext4 -q "$large"
mkdir "$directory/large"
mount "$large" "$directory/large"
at_exit umount "$directory/large"
truncate -s 128M "$directory/large/file"
row "file on a disk of 4096-byte sectors" "$directory/large/file" "${large##*/}" holes "" "$direct"
