#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# Without polkit nobody but real root passes: an error in bounded time that says so, nothing left, and the owner still manages nothing
# that polkit would have to allow. When it is back, all works, without a restart of ublkd.
. "$(dirname "$0")/devices.sh"

mine=$(add_device alice null "{'size': <uint64 1048576>}")
pid=$(ublkd_pid)
at_exit systemctl start polkit
at_exit systemctl unmask --runtime polkit
systemctl mask --quiet --runtime --now polkit

since=$(milliseconds)
answer=$(expect_fail as alice "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>})")
assert_refusal AccessDenied polkit "$answer"
assert_within 5000 "$since" "the refusal without polkit"
answer=$(expect_fail as bob "$BUS_CALL" "$mine" Delete '(@a{sv} {},)')
assert_refusal AccessDenied . "$answer"
assert_eq "$(find /dev -name 'ublkb*')" "/dev/ublkb$mine" "the devices"
# Reading asks nobody.
as bob busctl get-property org.ublk1 "/org/ublk1/devices/$mine" org.ublk1.Device State > /dev/null
# Root does not need it. The container's kind of root is not root.
n=$(add_device root null "{'size': <uint64 1048576>}")
delete_device root "$n"
answer=$(expect_fail as alice unshare --user --map-root-user busctl call org.ublk1 /org/ublk1/Manager org.ublk1.Manager \
	CreateDevice 'a{sv}' 0)
grep -qi "access denied" <<< "$answer" || fail "root of a namespace: $answer"
# Root as it is inside a container whose uid 0 is the host's, without the capability.
answer=$(expect_fail setpriv --bounding-set=-all --inh-caps=-all "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>})")
assert_refusal AccessDenied CAP_SYS_ADMIN "$answer"

systemctl unmask --runtime polkit
systemctl start polkit
n=$(add_device alice null "{'size': <uint64 1048576>}")
delete_device alice "$n"
delete_device alice "$mine"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
