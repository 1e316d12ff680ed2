#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# ublkd survives some thousand calls with made-up arguments, of all methods and properties of its objects, by a user who may create
# devices. Same process, each call answered, no complaint of a library in the journal, no descriptor and no more than a few megabytes
# kept, nothing left. With FUZZ_SECONDS and FUZZ_SEED in the environment it takes longer, or repeats.
# timeout: 600
. "$(dirname "$0")/devices.sh"

seconds=${FUZZ_SECONDS:-15}
since=$(date '+%F %T.%6N')
# What ublkd opens and allocates once is no leak.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
as alice "$HELPERS/fuzz-bus" --seed 1 --count 300 > /dev/null
pid=$(ublkd_pid)
descriptors_before=$(descriptors)
memory_before=$(ublkd_memory)

as alice "$HELPERS/fuzz-bus" --seconds "$seconds" ${FUZZ_SEED:+--seed "$FUZZ_SEED"}

assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
# A device that nobody wanted to hear of may have come since it deleted its own.
_is_over() {
	as alice ublk-client del --all > /dev/null || true
	_nothing_left
}
wait_until 60 _is_over || fail "left: $(leftovers)"
_descriptors_are_back() {
	[ "$(descriptors)" -le "$descriptors_before" ]
}
wait_until 20 _descriptors_are_back || fail "ublkd had $descriptors_before descriptors open, now: $(ls -l "/proc/$pid/fd")"
memory=$(ublkd_memory)
echo "memory of ublkd: $memory_before KiB before, $memory KiB after; descriptors: $descriptors_before, $(descriptors)"
allowed=$((16384 + $(sanitizers_keep)))
[ "$((memory - memory_before))" -lt "$allowed" ] || fail "ublkd has grown by $((memory - memory_before)) KiB"
assert_no_complaints "$since"

# And it serves.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
