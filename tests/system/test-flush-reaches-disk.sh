#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An fdatasync on the device is not acknowledged before the disk below was told to empty its cache: as many flushes arrive there as
# were asked for. (A server that answers FLUSH from thin air passes every test that only kills it.)
. "$(dirname "$0")/devices.sh"

COUNT=20

# A disk in memory that says that it has a cache, and counts; alice's own for a while.
modprobe null_blk nr_devices=1 gb=1 memory_backed=1 cache_size=1
at_exit modprobe -r null_blk
udevadm settle
chown alice: /dev/nullb0
chmod 600 /dev/nullb0
assert_eq "$(cat /sys/block/nullb0/queue/write_cache)" "write back" "the cache of the disk"
flushes() {
	awk '{ print $16 }' /sys/block/nullb0/stat
}

for direct in true false; do
	n=$(add_loop alice /dev/nullb0 ", 'direct': <$direct>")
	before=$(flushes)
	as alice python3 - "/dev/ublkb$n" $COUNT <<-'P'
		import os, sys
		fd = os.open(sys.argv[1], os.O_WRONLY)
		for i in range(int(sys.argv[2])):
		    os.pwrite(fd, b'x' * 4096, i * 4096)
		    os.fdatasync(fd)
	P
	after=$(flushes)
	[ $((after - before)) -ge $COUNT ] || fail "$COUNT fdatasync on the device gave $((after - before)) flushes of the disk (direct $direct)"
	delete_device alice "$n"
done
