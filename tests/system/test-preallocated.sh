#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# What --preallocate has reserved stays reserved, whatever is done with the device: mkfs discards all of it first. A discard size that was
# wished for counts more. What is kept comes back the same.
. "$(dirname "$0")/devices.sh"

modprobe xfs
directory=$(scratch alice)
file=$directory/disk.img
at_exit rm -rf /home/alice/.config/ublk

blocks() {
	stat -c %b "$file"
}

try_all() { # NODE
	local before
	before=$(blocks)

	[ "$before" -ge $((512 * 1024 * 1024 / 512)) ] || fail "only $before blocks are reserved"
	expect_fail blkdiscard "$1" > /dev/null
	blkdiscard --zeroout "$1"
	assert_eq "$(blocks)" "$before" "the blocks after blkdiscard --zeroout"
	# Zeroes that may give space back.
	fallocate --punch-hole --offset 1M --length 64M "$1" 2> /dev/null || fallocate --zero-range --offset 1M --length 64M "$1"
	assert_eq "$(blocks)" "$before" "the blocks after a punched hole"
	mkfs.ext4 -qF -E lazy_itable_init=0 "$1"
	assert_eq "$(blocks)" "$before" "the blocks after mkfs.ext4"
	mkfs.xfs -qf "$1"
	assert_eq "$(blocks)" "$before" "the blocks after mkfs.xfs"
}

node=$(as alice ublk-client add -t loop -f "$file" --create 512M --preallocate --name work --keep)
try_all "$node"
as alice ublk-client del --no-forget work
node=$(as alice ublk-client add --kept work)
try_all "$node"
as alice ublk-client del work

rm "$file"
node=$(as alice ublk-client add -t loop -f "$file" --create 64M --preallocate --max-discard-size 1M)
blkdiscard "$node"
[ "$(blocks)" -lt 1024 ] || fail "a discard that was wished for has given nothing back: $(blocks) blocks"
as alice ublk-client del --all
