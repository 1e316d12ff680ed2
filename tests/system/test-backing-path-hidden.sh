#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The path of a backing file tells about somebody's home: bob finds it nowhere, neither at ublkd nor at systemd nor in the processes
# nor in the files that the parts leave. alice and root are told.
. "$(dirname "$0")/devices.sh"

directory=$(scratch alice)
# Spelled so that the words of this test's own commands do not contain it.
mark=secret-of-alice-$RANDOM$RANDOM
pattern="[s]${mark#s}"
file=$directory/$mark
truncate -s 4M "$file"
chown alice: "$file"
n=$(add_loop alice "$file")
pid=$(server_pid "$n")

look() { # WHAT COMMAND… : as bob
	local what=$1 output
	shift
	output=$(as bob "$@" 2>/dev/null || true)
	[ -n "$output" ] || [ "$what" = nothing ] || fail "bob sees nothing at all of $what: the test looks in the wrong place"
	! grep -q "$pattern" <<< "$output" || fail "bob finds the path in $what: $(grep "$pattern" <<< "$output" | head -n 3)"
}

look "the objects" busctl --system call org.ublk1 /org/ublk1 org.freedesktop.DBus.ObjectManager GetManagedObjects
look "the properties" busctl --system introspect org.ublk1 "/org/ublk1/devices/$n"
look "the list" ublk-client list
look "the list in JSON" ublk-client list --json
look "info" ublk-client info "$n"
look "the unit's properties" systemctl show "ublk-server-$n.service"
look "the unit's status" systemctl status --no-pager -l "ublk-server-$n.service"
look "the unit's file" systemctl cat "ublk-server-$n.service"
look "the unit's object" busctl --system call org.freedesktop.systemd1 "/org/freedesktop/systemd1/unit/ublk_2dserver_2d${n}_2eservice" \
	org.freedesktop.DBus.Properties GetAll s ""
look "the user's units" busctl --system call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
	org.freedesktop.systemd1.Manager ListUnits
look "the server's command line" cat "/proc/$pid/cmdline"
look "all processes" ps -eo args
look "udev's database" udevadm info "/dev/ublkb$n"
look "udev's database of the server's node" udevadm info "/dev/ublkc$n"
look "sysfs" grep -rs . "/sys/block/ublkb$n/queue"
look "the links" ls -l /dev/disk/by-ublk
answer=$(expect_fail as bob "$BUS_CALL" "$n" GetBackingFile "(@a{sv} {},)")
! grep -q "$pattern" <<< "$answer" || fail "the refusal tells the path: $answer"
grep -qE "^error org.freedesktop.DBus.Error.(AccessDenied|InteractiveAuthorizationRequired) " <<< "$answer" ||
	fail "GetBackingFile by bob: $answer"
# Whatever else the parts leave below /run and /var, and the server's own /proc (which ordinary users cannot read at all).
if found=$(as bob grep -rsl "$pattern" /run/ublkd /run/systemd /run/udev /var/lib /var/log /etc/systemd /tmp); then
	fail "bob finds the path in $found"
fi
if as bob cat "/proc/$pid/environ" > /dev/null 2>&1; then
	fail "bob reads the server's environment"
fi
if found=$(as bob ls -l "/proc/$pid/fd" 2>/dev/null); then
	fail "bob sees the server's descriptors: $found"
fi
for path in /run/ublkd/devices /run/ublkd/devices/*; do
	if as bob test -r "$path"; then
		fail "bob can read $path"
	fi
done

# Those who may know are told: the search above would have found it.
as alice "$BUS_CALL" "$n" GetBackingFile '(@a{sv} {},)' | grep -q "$pattern" || fail "alice is not told the path"
"$BUS_CALL" "$n" GetBackingFile '(@a{sv} {},)' | grep -q "$pattern" || fail "root is not told the path"
delete_device alice "$n"
# A failure talks to her, not to others.
as alice "$BUS_CALL" Manager AddDevice "('loop', {'file': <'$directory/$mark-absent'>})" > /dev/null && fail "an absent file passes"
if found=$(as bob grep -rsl "$pattern" /run/ublkd /run/systemd /run/udev); then
	fail "after a failure bob finds the path in $found"
fi
