#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The kernel lets only the owner's uid *and* gid at the block device. So the device's group is the one that its maker runs with (newgrp,
# a container), not the one in the password file; and who runs with another one is told by the kernel, while the owner's uid still manages it.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
gid=$(getent group ublk | cut -d: -f3)
in_group() {
	(cd / && exec setpriv --reuid=alice --regid="$gid" --init-groups --reset-env "$@")
}
answer=$(in_group "$BUS_CALL" Manager AddDevice "('loop', {'file': <'$file'>})")
n=${answer##*/}
n=${n%%\'*}
assert_eq "$(kernel_says "$n" uid):$(kernel_says "$n" gid)" "1000:$gid" "the kernel's owner"
assert_eq "$(stat -c '%U:%G %a' "/dev/ublkb$n" "/dev/ublkc$n" | uniq)" "alice:ublk 600" "the nodes"
assert_eq "$(property "$n" OwnerGid)" "$gid" OwnerGid
assert_eq "$(in_group dd if="/dev/ublkb$n" bs=512 count=1 iflag=direct status=none | tr -d '\0')" "the first sector of a disk of alice" \
	"the first sector"
expect_fail as alice dd if="/dev/ublkb$n" of=/dev/null count=1 | grep -q "Operation not permitted" || fail "the kernel asks for no group (any more)"
delete_device alice "$n"
