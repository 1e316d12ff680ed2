#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# docs/security.md tells what commands that root types see of users' disks, and how they are kept off: what is read from udev's database
# shows nothing, a label goes to root's own disk when it is there, LVM's and mdadm's scans read everything unless they are told not to.
. "$(dirname "$0")/udev.sh"

modprobe -a loop dm_mod raid1
directory=$(scratch alice)
own=$(mktemp -d /var/tmp/ublk-test.XXXXXX)
at_exit rm -rf "$own"
uuid=deadbeef-0000-4000-8000-00000000beef
ext4_disk "$directory/ext4" "$uuid" stolen-label
mirror_disks stolen-array "$directory/md" "$own/md"
truncate -s 16M "$directory/lvm"
vgcreate --quiet ublktest "$(attach "$directory/lvm")"
forget_activations
detach "$directory/lvm"
forget_activations
chown -R alice: "$directory"
declare -A number
for kind in ext4 md lvm; do
	number[$kind]=$(add_loop alice "$directory/$kind")
done
reads() { # KIND
	awk '{ print $1 }' "/sys/block/ublkb${number[$1]}/stat"
}
node() { # KIND
	echo "/dev/ublkb${number[$1]}"
}

# --- What udev knows.
assert_eq "$(lsblk --noheadings --output FSTYPE,LABEL,UUID "$(node ext4)" "$(node md)" "$(node lvm)" | xargs)" "" "what lsblk shows"
for kind in "${!number[@]}"; do
	assert_eq "$(reads "$kind")" 0 "what was read from $(node "$kind")"
done

# --- LVM, with the filter of docs/administration.md and without.
filter='devices { global_filter = [ "r|^/dev/ublkb|" ] }'
assert_eq "$(pvs --config "$filter" --noheadings --options pv_name | grep ublkb || true)" "" "what LVM finds with the filter"
vgchange --quiet --config "$filter" --activate y
assert_eq "$(dmsetup ls | grep ublktest || true)" "" "what LVM activates with the filter"
assert_eq "$(reads lvm)" 0 "what LVM read with the filter"
assert_eq "$(pvs --noheadings --options pv_name,vg_name | xargs)" "$(node lvm) ublktest" "what LVM finds without"

# --- md, with the DEVICE line of docs/administration.md and without.
printf 'DEVICE /dev/sd* /dev/nvme* /dev/vd*\n' > "$own/mdadm.conf"
before=$(reads md)
assert_eq "$(mdadm --examine --scan --config="$own/mdadm.conf")" "" "what mdadm finds with a line DEVICE"
assert_eq "$(reads md)" "$before" "what mdadm read with a line DEVICE"
mdadm --examine --scan --config=partitions | grep stolen-array || fail "what mdadm finds without"

# --- Labels and UUIDs (mount, swapon, findfs): the link of root's disk counts more than what a scan finds. Without root's disk a scan
# finds hers, unless /etc/blkid.conf forbids to scan.
cp "$directory/ext4" "$own/ext4"
disk=$(attach "$own/ext4")
at_exit detach "$own/ext4"
wait_until 20 test -e /dev/disk/by-label/stolen-label || fail "root's disk gets no link"
mkdir "$own/mounted"
at_exit umount --quiet "$own/mounted"
for token in LABEL=stolen-label "UUID=$uuid"; do
	mount "$token" "$own/mounted"
	assert_eq "$(findmnt --noheadings --output SOURCE "$own/mounted")" "$disk" "what mount $token takes when root's disk is there"
	umount "$own/mounted"
done
detach "$own/ext4"
wait_for_gone 20 /dev/disk/by-label/stolen-label
printf 'EVALUATE=udev\n' > "$own/blkid.conf"
for token in LABEL=stolen-label "UUID=$uuid"; do
	assert_eq "$(findfs "$token")" "$(node ext4)" "what $token is when root's disk is not there"
	expect_fail env "BLKID_CONF=$own/blkid.conf" findfs "$token"
	expect_fail env "BLKID_CONF=$own/blkid.conf" mount "$token" "$own/mounted"
done
expect_fail mount "/dev/disk/by-uuid/$uuid" "$own/mounted"

for kind in "${!number[@]}"; do
	delete_device alice "${number[$kind]}"
done
