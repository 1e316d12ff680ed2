#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The same as with ublk-client with nothing but busctl: the D-Bus API needs no program of ours.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 16M)
answer=$(as alice busctl call org.ublk1 /org/ublk1/Manager org.ublk1.Manager AddDevice 'sa{sv}' loop 2 file s "$file" name s disk1)
n=${answer##*/}
n=${n%\"}
assert_eq "$answer" "o \"/org/ublk1/devices/$n\"" "the answer"

assert_eq "$(kernel_says "$n" unprivileged)" 1 "the kernel's UNPRIVILEGED_DEV"
assert_eq "$(kernel_says "$n" uid):$(kernel_says "$n" gid)" 1000:1000 "the kernel's owner"
# udev's own helper asks the kernel too; it must not say anything else.
assert_eq "$(stat -c '%u:%g %a' "/dev/ublkb$n" "/dev/ublkc$n" | uniq)" "1000:1000 600" "the nodes"
assert_works alice "$n"

# Each property, against the kernel's word.
for property in "Name disk1" "OwnerUid 1000" "OwnerGid 1000" "State live" "Target loop" "Size 16777216" "ReadOnly false" \
	"Trusted false" "CharDevice /dev/ublkc$n" "BlockDevice /dev/ublkb$n" "Id $n" \
	"Queues $(kernel_says "$n" queues)" "QueueDepth $(kernel_says "$n" depth)" "ServerPid $(kernel_says "$n" pid)" \
	"Flags $(($(kernel_says "$n" flags)))" "LogicalBlockSize $(cat "/sys/block/ublkb$n/queue/logical_block_size")" \
	"PhysicalBlockSize $(cat "/sys/block/ublkb$n/queue/physical_block_size")"; do
	assert_eq "$(property "$n" "${property%% *}")" "${property#* }" "${property%% *}"
done
as alice busctl --json=short get-property org.ublk1 "/org/ublk1/devices/$n" org.ublk1.Device FlagNames | grep -q unprivileged ||
	fail "FlagNames does not tell that the device is unprivileged"
created=$(property "$n" CreatedAt)
age=$((${EPOCHREALTIME/./} - created))
[ "$age" -ge 0 ] && [ "$age" -lt 60000000 ] || fail "CreatedAt is $age us ago"

assert_eq "$(as alice busctl call org.ublk1 /org/ublk1/Manager org.ublk1.Manager GetDeviceByName 'sa{sv}' disk1 0)" \
	"o \"/org/ublk1/devices/$n\"" GetDeviceByName
# Names are an owner's own: bob's "disk1" is another one, alice's is found when he says whose he means.
refused NotFound disk1 as bob "$BUS_CALL" Manager GetDeviceByName "('disk1', @a{sv} {})"
assert_eq "$(as bob "$BUS_CALL" Manager GetDeviceByName "('disk1', {'owner': <uint32 1000>})")" \
	"ok (objectpath '/org/ublk1/devices/$n',)" "GetDeviceByName with an owner"

assert_eq "$(as alice busctl call org.ublk1 "/org/ublk1/devices/$n" org.ublk1.Device Delete 'a{sv}' 0)" "" "the answer of Delete"
assert_gone "$n"
