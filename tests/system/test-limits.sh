#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# The limits of ublkd.conf: at the number of devices, or at the queue memory, of a user more takes an administrator; the total is
# final. One user at a limit does not keep another from creating, and what was refused does not count.
. "$(dirname "$0")/devices.sh"

polkit_rule 10-ublk-test <<'E'
polkit.addRule(function(action, subject) {
	if (action.id == "org.ublk1.create" && (subject.user == "bob" || subject.user == "carol"))
		return polkit.Result.YES;
	if (action.id == "org.ublk1.create-beyond-limits" && subject.user == "alice" && /^more/.test(action.lookup("name")))
		return polkit.Result.YES;
});
E
configure <<'E'
[limits]
devices-per-user=2
devices-total=4
queue-memory-per-user=1M
E
assert_eq "$(busctl --json=short get-property org.ublk1 /org/ublk1/Manager org.ublk1.Manager Limits | jq -r '.data["devices-per-user"].data')" 2 \
	"the property Limits"

size="'size': <uint64 1048576>, 'depth': <uint32 16>"
try() { # USER [MORE]
	as "$1" "$BUS_CALL" Manager AddDevice "('null', {$size${2:-}})"
}
over="(org.ublk1.Error.LimitExceeded|org.freedesktop.DBus.Error.InteractiveAuthorizationRequired)"

# --- Per user.
a=$(add_device alice null "{$size}")
b=$(add_device alice null "{$size}")
refused "$over" "limit" try alice
refused "$over" "limit" as alice "$BUS_CALL" Manager CreateDevice '(@a{sv} {},)'
# An administrator, or what he lets pass, goes beyond …
c=$(add_device alice null "{$size, 'name': <'more'>}")
# … and bob is not concerned by her devices, up to the total.
d=$(add_device bob null "{$size}")
refused LimitExceeded "limit|total|all" try bob
refused LimitExceeded "limit|total|all" try carol
refused LimitExceeded "limit|total|all" try alice ", 'name': <'more-still'>"
for n in "$a" "$b" "$c"; do
	delete_device alice "$n"
done
delete_device bob "$d"
assert_nothing_left

# --- Memory for queues: depth 1024 is 1 MiB, the limit; nothing fits beside it.
n=$(add_device bob null "{'size': <uint64 1048576>, 'depth': <uint32 1024>}")
refused "$over" "limit|memory" try bob
refused "$over" "limit|memory" as carol "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>, 'depth': <uint32 2048>})"
delete_device bob "$n"
