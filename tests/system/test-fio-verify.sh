#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is written through a device with several queues is what is read back, by checksum: random and mixed block sizes, by fio's
# io_uring, libaio and synchronous engines, from four jobs.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 64M)
n=$(add_loop alice "$file" ", 'queues': <uint32 4>, 'depth': <uint32 32>")

# The driver makes no more queues than there are processors; what it granted is what everybody says.
granted=$(find "/sys/block/ublkb$n/mq" -mindepth 1 -maxdepth 1 -type d | wc -l)
possible=$(nproc --all)
assert_eq "$granted" "$((possible < 4 ? possible : 4))" "queues in sysfs"
assert_eq "$(property "$n" Queues)" "$granted" "the property Queues"

verify() { # NAME OPTION…
	local output
	output=$(as alice fio --name="$1" --filename="/dev/ublkb$n" --direct=1 --rw=randwrite --bsrange=4k-64k \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --size=12M --offset_increment=12M --numjobs=4 \
		--group_reporting --output-format=terse --terse-version=3 --randrepeat=0 "${@:2}" 2>&1) ||
		fail "fio $1: $output"
	# The error column of fio's terse format: a run that did nothing at all is no pass either.
	awk -F';' -v name="$1" '$1 == 3 { seen = 1; if ($5 != 0 || $6 == 0 || $47 == 0) exit 1 } END { exit !seen }' <<< "$output" ||
		fail "fio $1 says $output"
}
verify uring --ioengine=io_uring --iodepth=16
verify aio --ioengine=libaio --iodepth=16
verify sync --ioengine=psync
# Reads and writes at once.
verify mixed --ioengine=io_uring --iodepth=8 --rw=randrw --rwmixread=30

delete_device alice "$n"
