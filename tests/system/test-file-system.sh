#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file system on a device: made by alice, mounted and written by root, checked by e2fsck, and the same bytes in the backing file,
# which the kernel's own loop driver mounts afterwards.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 64M)
n=$(add_loop alice "$file")
as alice /usr/sbin/mke2fs -q -t ext4 -L "on ublk" "/dev/ublkb$n"

mountpoint=$(mktemp -d)
at_exit rmdir "$mountpoint"
mount "/dev/ublkb$n" "$mountpoint"
at_exit umount -q "$mountpoint"
mkdir "$mountpoint/tree"
cp -r /etc "$mountpoint/tree/"
head -c 12M /dev/urandom > "$mountpoint/random"
rm -rf "$mountpoint/tree/etc/systemd"
fstrim "$mountpoint" || fail "discard does not work"
(cd "$mountpoint" && find . -type f -exec sha256sum {} +) | sort > "$mountpoint.sums"
at_exit rm -f "$mountpoint.sums"
umount "$mountpoint"

as alice /usr/sbin/e2fsck -fn "/dev/ublkb$n" > /dev/null || fail "e2fsck on the device"
sum=$(as alice dd if="/dev/ublkb$n" bs=1M iflag=direct status=none | sha256sum)
delete_device alice "$n"

assert_eq "$(sha256sum < "$file")" "$sum" "the checksum of the backing file"
e2fsck -fn "$file" > /dev/null || fail "e2fsck on the backing file"
modprobe loop
mount -o loop,ro "$file" "$mountpoint"
assert_eq "$(cd "$mountpoint" && sha256sum --quiet -c "$mountpoint.sums" && echo same)" same "the files in the backing file"
umount "$mountpoint"
