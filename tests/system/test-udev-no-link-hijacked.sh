#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# A user's disk that is the same byte for byte as one of root's (file systems, swap, LUKS, LVM, bcache, a partition table, the root disk
# itself) takes over none of its links below /dev, and gets none of its own but the one in by-ublk: not when it is added, written to, resized,
# looked at again, found at boot, partitioned by root or removed, and not when root's disk comes second.
. "$(dirname "$0")/udev.sh"

uuid=deadbeef-0000-4000-8000-0000000000
directory=$(scratch alice)
own=$(mktemp -d /var/tmp/ublk-test.XXXXXX)
at_exit rm -rf "$own"
modprobe loop

# --- Root's disks, and the links that udev makes of them.
declare -A links=(
	[ext4]="by-uuid/${uuid}01 by-label/victim-ext4"
	[swap]="by-uuid/${uuid}02 by-label/victim-swap"
	[luks]="by-uuid/${uuid}03"
	[lvm]="by-id/lvm-pv-uuid-"
	[btrfs]="by-uuid/${uuid}05 by-label/victim-btrfs"
	[bcache]="by-uuid/${uuid}06"
	[gpt]="by-partuuid/11111111-2222-3333-4444-666666666666 by-partlabel/stolen-partition by-uuid/${uuid}04 by-label/victim-partition"
)
ext4_disk "$own/ext4" "${uuid}01" victim-ext4
truncate -s 16M "$own/swap" "$own/luks" "$own/lvm"
mkswap -q -U "${uuid}02" -L victim-swap "$own/swap"
# The head of LUKS 1: magic, version, and a UUID where it belongs.
{
	printf 'LUKS\272\276\0\1'
	head -c 160 /dev/zero
	printf '%s' "${uuid}03"
} | dd of="$own/luks" conv=notrunc status=none
btrfs_disk "$own/btrfs" "${uuid}05" victim-btrfs
bcache_disk "$own/bcache" "${uuid}06"
gpt_disk "$own/gpt"
disk=$(attach "$own/gpt")
wait_until 20 test -b "${disk}p1"
mkfs.ext4 -q -F -U "${uuid}04" -L victim-partition "${disk}p1"
losetup --detach "$disk"
disk=$(attach "$own/lvm")
pvcreate --quiet --quiet "$disk"
links[lvm]+=$(pvs --noheadings --options pv_uuid "$disk" | xargs)
losetup --detach "$disk"
for kind in "${!links[@]}"; do
	at_exit detach "$own/$kind"
	cp "$own/$kind" "$directory/$kind"
	attach "$own/$kind" > "$own/$kind.disk"
done
_has_links() { # KIND
	local link

	for link in ${links[$1]}; do
		[[ $(readlink -f "/dev/disk/$link") = "$(cat "$own/$1.disk")"* ]] || return 1
	done
}
for kind in "${!links[@]}"; do
	# Else the rest proves nothing.
	wait_until 20 _has_links "$kind" || fail "udev does not link ${links[$kind]} to root's $(cat "$own/$kind.disk")"
done
# The disk that this machine runs from: its partition table and the beginning of its file system.
root_partition=$(findmnt --noheadings --output SOURCE /)
dd if="/dev/$(lsblk --noheadings --output PKNAME "$root_partition" | head -n 1)" of="$directory/root" bs=1M count=16 status=none
dd if="$root_partition" of="$directory/root-fs" bs=1M count=16 status=none
assert_eq "$(blkid -p -o value -s UUID "$directory/root-fs")" "$(blkid -p -o value -s UUID "$root_partition")" "the copied UUID"
chown -R alice: "$directory"

all_links() {
	find /dev -type l -not -path '/dev/block/*' -not -path '/dev/char/*' -not -path '/dev/disk/by-ublk/*' -printf '%p %l\n' | sort
}
udevadm settle -t 60
all_links > "$own/links"
assert_links() { # WHEN
	udevadm settle -t 60
	all_links | diff "$own/links" - || fail "links have changed $1"
}

# --- Alice's copies.
declare -A number
for kind in "${!links[@]}" root root-fs; do
	number[$kind]=$(add_loop alice "$directory/$kind" ", 'name': <'$kind'>")
	assert_not_probed "/dev/ublkb${number[$kind]}"
	assert_eq "$(readlink -f "/dev/disk/by-ublk/1000-$kind")" "/dev/ublkb${number[$kind]}" "the link of its own"
done
assert_links "when they were added"

disks=("${number[@]/#//sys/class/block/ublkb}")
for n in "${number[@]}"; do
	as alice dd "if=/dev/ublkb$n" "of=/dev/ublkb$n" bs=4k count=2 conv=notrunc status=none
done
assert_links "after they were written to"
if kernel_has update-size; then
	for n in "${number[@]}"; do
		as alice ublk-client resize --grow-file "/dev/ublkb$n" 20M
	done
	assert_links "after they were made larger"
fi
for action in change add; do
	trigger "$action" "${disks[@]}"
	assert_links "after an event '$action'"
done
# As at boot: udev has no memory of them, and asks for everything that is there.
for n in "${number[@]}"; do
	rm -f "/run/udev/data/$(udev_id "/dev/ublkb$n")"
done
trigger add /sys/class/block/*
assert_links "at boot"
for kind in "${!number[@]}"; do
	assert_not_probed "/dev/ublkb${number[$kind]}"
	assert_eq "$(node_owner "/dev/ublkb${number[$kind]}")" "1000:1000 600" "the node of $kind"
done
# The kernel does not look for partitions; root may.
partx --add "/dev/ublkb${number[gpt]}"
udevadm settle -t 60
assert_eq "$(node_owner "/dev/ublkb${number[gpt]}p1")" "0:0 600" "the partition"
assert_not_probed "/dev/ublkb${number[gpt]}p1"
assert_links "when root made partitions of what is on one"
partx --delete "/dev/ublkb${number[gpt]}"

# --- The other way round: hers is there, root's comes.
for kind in "${!links[@]}"; do
	detach "$own/$kind"
done
_no_victims() {
	! all_links | grep -E 'victim|stolen|lvm-pv-uuid'
}
wait_until 20 _no_victims || fail "with root's disks gone there are still links: $(all_links)"
for kind in "${!links[@]}"; do
	attach "$own/$kind" > "$own/$kind.disk"
done
for kind in "${!links[@]}"; do
	wait_until 20 _has_links "$kind" || fail "root's $kind, which came second, has not got its links"
done
udevadm settle -t 60
all_links > "$own/links"
for n in "${number[@]}"; do
	delete_device alice "$n"
done
assert_links "when alice's were deleted"
