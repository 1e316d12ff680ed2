#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program that watches the bus is told of every device that comes, changes and goes, and GetManagedObjects agrees with it.
. "$(dirname "$0")/devices.sh"

start_ublkd
directory=$(scratch bob)
as bob "$HELPERS/bus-watch" --until 'InterfacesRemoved.*/devices/9' --timeout 60 > "$directory/signals" &
watcher=$!
wait_until 5 grep -q ready "$directory/signals"

objects() {
	as bob "$BUS_CALL" Root GetManagedObjects
}
! objects | grep -q devices/9 || fail "there is a device already"
file=$(backing_file alice 8M)
assert_eq "$(add_loop alice "$file" ", 'id': <uint32 9>, 'name': <'watched'>")" 9 "the number"
objects | grep -q "'/org/ublk1/devices/9': {.*'Name': <'watched'>" || fail "GetManagedObjects: $(objects)"
if kernel_has update-size; then
	as alice "$BUS_CALL" 9 Resize '(uint64 4194304, @a{sv} {})'
	assert_eq "$(blockdev --getsize64 /dev/ublkb9)" 4194304 "the new size"
	resized=1
else
	refused NotSupported update-size as alice "$BUS_CALL" 9 Resize '(uint64 4194304, @a{sv} {})'
fi
delete_device alice 9
wait "$watcher" || fail "the signals: $(cat "$directory/signals")"

signals=$(cat "$directory/signals")
assert_eq "$(grep -c "InterfacesAdded.*/devices/9'" <<< "$signals")" 1 "the number of InterfacesAdded"
assert_eq "$(grep -c "InterfacesRemoved.*/devices/9'" <<< "$signals")" 1 "the number of InterfacesRemoved"
grep "InterfacesAdded.*/devices/9'" <<< "$signals" | grep -q "org.ublk1.Device.*'Id': <uint32 9>" || fail "InterfacesAdded tells no properties"
grep "InterfacesRemoved.*/devices/9'" <<< "$signals" | grep -q org.ublk1.Device || fail "InterfacesRemoved tells no interface"
# Live, with its size: in the first signal or in one that says what changed since.
grep -E "/devices/9.*'State': <'live'>" <<< "$signals" > /dev/null || fail "nobody was told that the device is live: $signals"
grep -E "/devices/9.*'Size': <uint64 8388608>" <<< "$signals" > /dev/null || fail "nobody was told its size: $signals"
if [ "${resized:-0}" = 1 ]; then
	grep -E "^/org/ublk1/devices/9 .*PropertiesChanged.*'Size': <uint64 4194304>" <<< "$signals" > /dev/null ||
		fail "nobody was told the new size: $signals"
fi
# What comes is before what changes is before what goes.
order=$(sed -nE "s,^/org/ublk1 .*InterfacesAdded.*/devices/9'.*,added,p; s,^/org/ublk1/devices/9 .*PropertiesChanged.*,changed,p; \
	s,^/org/ublk1 .*InterfacesRemoved.*/devices/9'.*,removed,p" <<< "$signals" | uniq | xargs)
case $order in
"added removed" | "added changed removed") ;;
*) fail "the order is: $order" ;;
esac
! grep -q disk.img <<< "$signals" || fail "a signal tells the backing path"
