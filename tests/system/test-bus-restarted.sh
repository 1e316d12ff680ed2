#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# The bus goes, and ublkd with it: a live device serves on, a device that its creator has not started is deleted, and when the bus is
# back ublkd is there with the live device.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
mine=$(add_loop alice "$file")
server=$(server_pid "$mine")
pid=$(ublkd_pid)
coproc creator { as alice "$BUS_CALL" --hold Manager CreateDevice '(@a{sv} {},)'; }
id=$creator_PID input=${creator[1]}
read -r created <&"${creator[0]}"
n=${created#*/devices/}
n=${n%%\'*}

# What else of the system hangs on the bus is not this test's. A user's systemd never connects again, and can make no scope from then
# on, which rootless podman wants.
at_exit systemctl try-restart systemd-logind polkit 'user@*.service'
systemctl kill -s KILL dbus.service
assert_works alice "$mine"
wait_until 60 _ublkd_answers || fail "ublkd is not back"
[ "$(ublkd_pid)" != "$pid" ] || fail "ublkd is the same process"
assert_works alice "$mine"
assert_eq "$(property "$mine" State)" live "the state of the device"
assert_eq "$(server_pid "$mine")" "$server" "the server"
eval "exec $input>&-" || true
wait "$id" || true
wait_until 30 _is_gone "$n" || assert_gone "$n"
delete_device alice "$mine"
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
