#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where io_uring is forbidden, the error says by what (seccomp with ENOSYS or with EPERM, sysctl kernel.io_uring_disabled 1 or 2) and how
# to allow it: the server's, the client's, and ublkd's own.
. "$(dirname "$0")/devices.sh"

set_sysctl() { # DISABLED GROUP
	sysctl -qw "kernel.io_uring_disabled=$1" "kernel.io_uring_group=$2"
}
at_exit set_sysctl 0 -1

# says TEXT COMMAND… : it fails, and its output has TEXT.
says() {
	local text=$1 answer
	shift

	answer=$(expect_fail "$@")
	grep -qE "$text" <<< "$answer" || fail "'$*' says '$answer', not '$text'"
}
# What a container's filter does, by systemd's. Not by a user's own program: the client must get its device first.
filtered() { # ERRNO COMMAND…
	local error=$1
	shift
	systemd-run --quiet --wait --pipe --collect -p User=alice -p "SystemCallFilter=~io_uring_setup:$error" -- "$@"
}
serve=(timeout -s INT 60 ublk-client serve -t null --size 1M)

# ublkd has its ring since its start, and goes on; who wants a new one is refused.
start_ublkd
as root ublk-client features > /dev/null
says 'seccomp filter forbids it \(ENOSYS\).*--security-opt seccomp=.*ublk-client seccomp' filtered ENOSYS "${serve[@]}"
says 'seccomp filter forbids it \(EPERM\).*--security-opt seccomp=' filtered EPERM "${serve[@]}"

# Not even root may: udev's helper cannot say whose the new device is.
set_sysctl 2 -1
says 'udev did not.*io_uring_disabled is 2.*to 0' as alice "${serve[@]}"
set_sysctl 1 -1
says 'names no group.*io_uring_group=GID' as alice "${serve[@]}"
set_sysctl 1 1001
says 'to the group 1001 alone' as alice "${serve[@]}"
set_sysctl 1 "$(id -g alice)"
node=$(as alice ublk-client add -t null --size 1M)
as alice ublk-client del "$node"

# And an ublkd that has none yet.
set_sysctl 2 -1
at_exit systemctl restart ublkd
systemctl restart ublkd
says 'ublkd cannot use io_uring.*io_uring_disabled is 2' as alice ublk-client add -t null --size 1M
set_sysctl 1 4711
systemctl restart ublkd
says 'ublkd cannot use io_uring.*io_uring_disabled is 1.*\(4711\)' as alice ublk-client add -t null --size 1M
set_sysctl 0 -1
systemctl restart ublkd
node=$(as alice ublk-client add -t null --size 1M)
as alice ublk-client del "$node"
