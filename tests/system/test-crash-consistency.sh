#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# timeout: 600
# The disk below records each write and each flush. Were the machine to lose its power at any flush, the file system on the device would
# be whole, and have each file whose fsync had returned by then: with ext4, through the page cache, and with xfs, directly.
. "$(dirname "$0")/devices.sh"

FILES=${FILES:-3}

modprobe -a dm_mod dm_log_writes loop xfs
directory=$(mktemp -d /run/ublk-crash.XXXXXX)
chmod 755 "$directory"
at_exit rm -rf "$directory"
mkdir "$directory/mounted" "$directory/checked"

# check TYPE IMAGE FILES : a copy of the image, mounted (which replays its journal), has the files, and is whole.
cat > "$directory/check" <<-'P'
	#!/bin/bash
	set -eu
	cd "$(dirname "$0")"
	# Before the first fsync has returned nothing was promised; that is when the file system is made.
	[ "$3" != 0 ] || exit 0
	cp --sparse=always "$2" copy
	case $1 in
	ext4) mount -o loop copy checked ;;
	xfs) mount -o loop,nouuid copy checked ;;
	esac
	status=0
	for i in $(seq "$3"); do
	    cmp -s "original.$i" "checked/file.$i" || { echo "file $i of $3 is lost or wrong"; status=1; }
	done
	umount checked
	[ "$status" = 0 ] || exit 1
	case $1 in
	ext4) e2fsck -fn copy > fsck 2>&1 || { cat fsck; exit 1; } ;;
	xfs) xfs_repair -n copy > fsck 2>&1 || { cat fsck; exit 1; } ;;
	esac
P
chmod +x "$directory/check"

detach() { # DISK ; once
	[ ! -e "/sys/block/${1##*/}/loop" ] || losetup -d "$1"
}
remove_logged() {
	[ ! -e /dev/mapper/logged ] || dmsetup remove --retry logged
}

crash() { # TYPE SIZE OPTIONS [MKFS OPTION…]
	local type=$1 n i disk log sectors
	truncate -s "$2" "$directory/disk"
	truncate -s 1G "$directory/log"
	disk=$(losetup --find --show "$directory/disk")
	at_exit detach "$disk"
	log=$(losetup --find --show "$directory/log")
	at_exit detach "$log"
	sectors=$(blockdev --getsz "$disk")
	dmsetup create logged --table "0 $sectors log-writes $disk $log"
	at_exit remove_logged
	udevadm settle
	chown alice: "$(realpath /dev/mapper/logged)"
	n=$(add_loop alice /dev/mapper/logged "$3")
	"mkfs.$type" -q "${@:4}" "/dev/ublkb$n"
	mount "/dev/ublkb$n" "$directory/mounted"
	at_exit umount -q "$directory/mounted"
	sync -f "$directory/mounted"
	# What is to be lost, if anything is: files of which no fsync has returned.
	for i in $(seq "$FILES"); do
		head -c $((i * 20000)) /dev/urandom > "$directory/original.$i"
		cp "$directory/original.$i" "$directory/mounted/new"
		cp "$directory/original.$i" "$directory/mounted/unsynced.$i"
		# The file, then its name.
		python3 - "$directory/mounted" "$i" <<-'P'
			import os, sys
			directory, i = sys.argv[1:]
			fd = os.open(directory + '/new', os.O_RDWR)
			os.fsync(fd)
			os.rename(directory + '/new', directory + '/file.' + i)
			os.fsync(fd)
			fd = os.open(directory, os.O_RDONLY)
			os.fsync(fd)
		P
		dmsetup message logged 0 mark "$i"
	done
	umount "$directory/mounted"
	delete_device alice "$n"
	dmsetup remove --retry logged
	udevadm settle
	truncate -s 0 "$directory/image"
	truncate -s "$2" "$directory/image"
	"$HELPERS/replay-writes" "$log" "$directory/image" "$directory/check" "$type" image > "$directory/result" 2>&1 ||
		fail "$type $3: $(cat "$directory/result")"
	grep -q "the last mark is $FILES" "$directory/result" || fail "$type $3: $(cat "$directory/result")"
	# The whole log gives the disk as it is.
	cmp "$directory/image" "$directory/disk" || fail "the log is not all"
	echo "$type $3: $(cat "$directory/result")"
	detach "$disk"
	detach "$log"
	rm "$directory"/{disk,log,image,copy}
}

crash ext4 32M ", 'direct': <false>, 'queues': <uint32 2>"
# As small as xfs can be.
crash xfs 300M ", 'direct': <true>, 'queues': <uint32 2>"
