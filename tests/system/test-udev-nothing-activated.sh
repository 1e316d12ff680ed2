#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# A user's disk with an LVM volume group, with a copy of one of root's, or with the missing half of an array of root's is activated by
# nobody: no logical volume, no array, nothing that holds it. With the same bytes on a disk of root's the system does all that.
. "$(dirname "$0")/udev.sh"

modprobe -a loop dm_mod raid1
directory=$(scratch alice)
own=$(mktemp -d /var/tmp/ublk-test.XXXXXX)
at_exit rm -rf "$own"

truncate -s 16M "$own"/{active,other}
for file in active other half1 half2; do
	at_exit detach "$own/$file"
done

# --- Root has an active volume group, one that is not there at the moment, and an array of which a half is missing.
group=ublktest
other=ublkother
at_exit vgchange --quiet --activate n "$group" "$other"
vgcreate --quiet "$group" "$(attach "$own/active")"
lvcreate --quiet --yes --name data --extents 1 "$group"
vgcreate --quiet "$other" "$(attach "$own/other")"
lvcreate --quiet --yes --name data --extents 1 "$other"
vgchange --quiet --activate n "$other"
detach "$own/other"
at_exit wait_until 60 _no_arrays
# It would start the half array after 30 s.
at_exit systemctl --quiet --runtime unmask mdadm-last-resort@.timer
systemctl --quiet --runtime mask mdadm-last-resort@.timer
mirror_disks ublktest "$own/half1" "$own/half2"
cp "$own"/{active,other,half2} "$directory"
chown -R alice: "$directory"

disk=$(attach "$own/half1")
trigger add "/sys/class/block/${disk#/dev/}"
_has_half() {
	grep -E '^md.*inactive loop' /proc/mdstat
}
wait_until 20 _has_half || fail "udev's rules for arrays are not at work: $(cat /proc/mdstat)"

active() { # what is, by name
	dmsetup info --columns --noheadings --options name | sort
	grep '^md' /proc/mdstat || true
	cat /proc/swaps
	find /sys/block/*/holders -mindepth 1 | sort
	systemctl list-units --all --plain --no-legend 'lvm-*' 'md*.timer' 'mdadm-*' | awk '{ print $1 }'
}
forget_activations
active > "$own/before"
assert_idle() { # WHEN
	udevadm settle -t 60
	active | diff "$own/before" - || fail "something was activated $1"
}

# --- Alice's copies.
numbers=()
for file in active other half2; do
	numbers+=("$(add_loop alice "$directory/$file")")
done
assert_idle "when they were added"
for n in "${numbers[@]}"; do
	as alice dd "if=/dev/ublkb$n" "of=/dev/ublkb$n" bs=4k count=2 conv=notrunc status=none
done
assert_idle "after they were written to"
for action in change add; do
	trigger "$action" "${numbers[@]/#//sys/class/block/ublkb}"
	assert_idle "after an event '$action'"
done
for n in "${numbers[@]}"; do
	rm -f "/run/udev/data/$(udev_id "/dev/ublkb$n")"
done
trigger add "${numbers[@]/#//sys/class/block/ublkb}"
assert_idle "at boot"
for n in "${numbers[@]}"; do
	delete_device alice "$n"
done
assert_idle "when they were deleted"

# --- With root's own disks it happens, else all this proves nothing.
forget_activations
attach "$own/other" > /dev/null
wait_until 60 test -b "/dev/$other/data" || fail "udev's rules for LVM are not at work"
disk=$(attach "$own/half2")
trigger add "/sys/class/block/${disk#/dev/}"
_has_array() {
	grep -E '^md.*: active' /proc/mdstat
}
wait_until 60 _has_array || fail "udev's rules for arrays do not complete one: $(cat /proc/mdstat)"
