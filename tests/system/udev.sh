# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests of the udev rules share: devices that were made without ublkd.

. "$(dirname "${BASH_SOURCE[0]}")/devices.sh"

# make_device USER FILE [OPTION…] : a loop device of the user's (root: a privileged one) that lives until end_device or the test's end.
# Sets $number and $device_pid.
make_device() {
	local user=$1 file=$2 out
	shift 2

	out=$(mktemp)
	"$HELPERS/make-device" "$@" "$(id -u "$user")" "$(id -g "$user")" "$file" > "$out" &
	device_pid=$!
	at_exit end_device "$device_pid"
	wait_until 20 test -s "$out" || fail "make-device made nothing"
	number=$(cat "$out")
	rm -f "$out"
	udevadm settle -t 20
}

end_device() { # [PID]
	kill "${1:-$device_pid}" 2>/dev/null || true
	wait "${1:-$device_pid}" || true
	udevadm settle -t 20
}

# udev_property NODE NAME : from udev's database; nothing if it is not there.
udev_property() {
	udevadm info --query=property --name="$1" | sed -n "s/^$2=//p"
}

node_owner() { # NODE
	stat -c '%u:%g %a' "$1"
}

# links_to NODE : all links to it below /dev, except those that name it by its number.
links_to() {
	find /dev -lname "*$(basename "$1")" -not -path '/dev/block/*' -not -path '/dev/char/*' | sort | xargs
}

# trigger ACTION DEVICE… : udev has that event of each of these (paths in /sys) when this returns.
trigger() {
	local action=$1
	shift

	udevadm trigger --action="$action" "$@"
	udevadm settle -t 60 || fail "udev does not get done with '$action'"
}

# assert_not_probed NODE : udev has not looked into it, and nobody will because of udev.
assert_not_probed() {
	local found

	found=$(udevadm info --query=property --name="$1" | grep -E '^(ID_FS_|ID_PART_|LVM_|MD_|ID_BTRFS|SYSTEMD_WANTS|SYSTEMD_READY=0)' || true)
	assert_eq "$found" "" "what udev found in $1"
	assert_eq "$(udev_property "$1" DM_UDEV_DISABLE_OTHER_RULES_FLAG)" 1 "the flag for LVM, bcache and udisks"
	assert_eq "$(udev_property "$1" UDISKS_IGNORE)" 1 "UDISKS_IGNORE"
	found=$(find /run/udev/watch -lname "$(udev_id "$1")" -o -name "$(udev_id "$1")" 2>/dev/null || true)
	assert_eq "$found" "" "udev's watch of $1"
}

# udev_id NODE : how udev's database calls a block device: b259:1
udev_id() {
	stat -c 'b%Hr:%Lr' "$1"
}

# gpt_disk FILE : two partitions, with fixed UUIDs and names.
gpt_disk() {
	truncate -s 16M "$1"
	sfdisk --quiet "$1" <<- 'END'
		label: gpt
		label-id: 11111111-2222-3333-4444-555555555555
		size=4MiB, uuid=11111111-2222-3333-4444-666666666666, name=stolen-partition
		size=4MiB, uuid=11111111-2222-3333-4444-777777777777, name=other-partition
	END
}

# ext4_disk FILE UUID LABEL
ext4_disk() {
	truncate -s 16M "$1"
	mkfs.ext4 -q -F -U "$2" -L "$3" "$1"
}

# attach FILE : as a disk of root's, with its partitions. Prints the node.
attach() {
	losetup --find --show --partscan "$1"
}

# detach FILE : all disks of it.
detach() {
	losetup --associated "$1" --noheadings --output NAME | xargs -r -n1 losetup --detach
}

# mirror_disks NAME FILE FILE : the halves of an array, which is stopped when this returns.
mirror_disks() {
	truncate -s 16M "$2" "$3"
	mdadm --quiet --create "/dev/md/$1" --run --level=1 --metadata=1.2 --bitmap=none --assume-clean --raid-devices=2 \
		"$(attach "$2")" "$(attach "$3")"
	udevadm settle -t 60
	stop_arrays
	detach "$2"
	detach "$3"
	sync
}

stop_arrays() {
	wait_until 60 _no_arrays || fail "an array does not stop: $(cat /proc/mdstat)"
}

_no_arrays() {
	mdadm --quiet --stop --scan && ! grep -q '^md' /proc/mdstat
}

# lvm_disk FILE : an LVM physical volume's label, as far as blkid looks at it (no LVM is needed to write it).
lvm_disk() {
	truncate -s 16M "$1"
	python3 - "$1" <<- 'END'
		import struct, sys

		def crc(data):
		    table = [0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		             0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c]
		    value = 0xf597a6cf
		    for byte in data:
		        value ^= byte
		        value = (value >> 4) ^ table[value & 15]
		        value = (value >> 4) ^ table[value & 15]
		    return value

		body = struct.pack('<I8s32sQ', 32, b'LVM2 001', b'0123456789abcdef0123456789abcdef', 16 << 20).ljust(492, b'\0')
		label = struct.pack('<8sQI', b'LABELONE', 1, crc(body)) + body
		with open(sys.argv[1], 'r+b') as disk:
		    disk.seek(512)
		    disk.write(label)
	END
}

# md_disk FILE : a member of an array (version 1.2), as far as blkid looks at it.
md_disk() {
	truncate -s 16M "$1"
	python3 - "$1" <<- 'END'
		import struct, sys

		superblock = bytearray(256)
		struct.pack_into('<IIII16s32s', superblock, 0, 0xa92b4efc, 1, 0, 0, b'0123456789abcdef', b'stolen-array')
		struct.pack_into('<QiiQ', superblock, 64, 0, 1, 0, 0)
		struct.pack_into('<QQQ', superblock, 128, 2048, 16384, 8)
		total = sum(struct.unpack('<64I', superblock))
		struct.pack_into('<I', superblock, 216, (total & 0xffffffff) + (total >> 32))
		with open(sys.argv[1], 'r+b') as disk:
		    disk.seek(4096)
		    disk.write(superblock)
	END
}

# btrfs_disk FILE UUID LABEL : a btrfs's superblock, as far as blkid looks at it.
btrfs_disk() {
	truncate -s 16M "$1"
	python3 - "$@" <<- 'END'
		import struct, sys, uuid

		def crc32c(data):
		    value = 0xffffffff
		    for byte in data:
		        value ^= byte
		        for _ in range(8):
		            value = (value >> 1) ^ (0x82f63b78 if value & 1 else 0)
		    return value ^ 0xffffffff

		block = bytearray(4096)
		block[32:48] = uuid.UUID(sys.argv[2]).bytes
		struct.pack_into('<QQ8sQ', block, 48, 65536, 1, b'_BHRfS_M', 1)
		# the size, what is used of it, the root's number, devices; sectors and nodes
		struct.pack_into('<QQQQIIII', block, 112, 16 << 20, 4096, 6, 1, 4096, 16384, 16384, 4096)
		struct.pack_into('<256s', block, 299, sys.argv[3].encode())
		struct.pack_into('<I', block, 0, crc32c(block[32:]))
		with open(sys.argv[1], 'r+b') as disk:
		    disk.seek(65536)
		    disk.write(block)
	END
}

# bcache_disk FILE UUID : a cached disk's superblock, as far as blkid looks at it.
bcache_disk() {
	truncate -s 16M "$1"
	python3 - "$@" <<- 'END'
		import struct, sys, uuid

		def crc64(data):
		    value = (1 << 64) - 1
		    for byte in data:
		        value ^= byte << 56
		        for _ in range(8):
		            value = (value << 1) ^ (0x42f0e1eba9ea3693 if value >> 63 else 0)
		            value &= (1 << 64) - 1
		    return value ^ (1 << 64) - 1

		block = bytearray(208)
		struct.pack_into('<QQ16s16s', block, 8, 8, 1, uuid.UUID('c68573f6-4e1a-45ca-8265-f57f48ba6d81').bytes, uuid.UUID(sys.argv[2]).bytes)
		struct.pack_into('<QHH', block, 184, 16, 8, 1024)
		struct.pack_into('<Q', block, 0, crc64(block[8:]))
		with open(sys.argv[1], 'r+b') as disk:
		    disk.seek(4096)
		    disk.write(block)
	END
}

# LVM activates a group by events once in a boot, and remembers that here. It shall not be this that keeps it from alice's. Nor a
# unit that failed, because its disk was gone before it ran: as long as systemd has it, udev's rule starts no other of that name.
_nothing_activating() {
	[ -z "$(systemctl list-units --plain --no-legend --state=active,activating,deactivating 'lvm-activate-*')" ] &&
		! systemctl list-jobs --plain --no-legend | grep -F lvm-activate-
}
forget_activations() {
	udevadm settle -t 60
	wait_until 60 _nothing_activating || fail "LVM does not get done with activating"
	systemctl reset-failed 'lvm-activate-*'
	rm -f /run/lvm/{pvs,vgs}_online/*
}
