#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A name is taken for its owner, a number for everybody: Exists, and the device that is there is not touched. Of two calls at the same
# time one wins.
. "$(dirname "$0")/devices.sh"

polkit_rule 10-ublk-test <<'R'
polkit.addRule(function(action, subject) {
	if (action.id == "org.ublk1.create" && subject.user == "bob")
		return polkit.Result.YES;
});
R
size="'size': <uint64 1048576>"
n=$(add_device alice null "{$size, 'name': <'disk'>, 'id': <uint32 5>}")
assert_eq "$n" 5 "the number that was asked for"
refused Exists disk as alice "$BUS_CALL" Manager AddDevice "('null', {$size, 'name': <'disk'>})"
refused Exists disk as alice "$BUS_CALL" Manager CreateDevice "({'name': <'disk'>},)"
refused Exists 5 as alice "$BUS_CALL" Manager AddDevice "('null', {$size, 'id': <uint32 5>})"
refused Exists 5 as bob "$BUS_CALL" Manager AddDevice "('null', {$size, 'id': <uint32 5>})"
assert_eq "$(find /dev -name 'ublkb*')" /dev/ublkb5 "the devices"
assert_eq "$(kernel_says 5 uid)" 1000 "its owner"

# bob may have a device of the same name.
m=$(add_device bob null "{$size, 'name': <'disk'>}")
assert_eq "$(readlink -f /dev/disk/by-ublk/1001-disk /dev/disk/by-ublk/1000-disk | xargs)" "/dev/ublkb$m /dev/ublkb5" "the links"
delete_device bob "$m"
delete_device alice 5

directory=$(scratch alice)
for what in "'name': <'disk'>" "'id': <uint32 6>"; do
	for i in 1 2 3 4; do
		as alice "$BUS_CALL" Manager AddDevice "('null', {$size, $what})" > "$directory/$i" &
	done
	wait || true
	assert_eq "$(cat "$directory"/[1-4] | cut -d' ' -f1 | sort | uniq -c | xargs)" "3 error 1 ok" "four calls at once"
	assert_eq "$(grep -h error "$directory"/[1-4] | cut -d' ' -f2 | uniq)" org.ublk1.Error.Exists "the losers' error"
	n=$(sed -nE "s,.*/([0-9]+)'.*,\1,p" "$directory"/[1-4])
	assert_eq "$(find /dev -name 'ublkb*')" "/dev/ublkb$n" "the devices"
	delete_device alice "$n"
done
