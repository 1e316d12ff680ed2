#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# `ublk-client doctor` finds nothing where all is well. Of what is broken here it finds each, tells what mends it, and that does.
. "$(dirname "$0")/devices.sh"

doctor() { # USER
	as "$1" ublk-client doctor --json || true
}
# assert_bad USER SUBJECT TEXT REMEDY : both are regular expressions.
assert_bad() {
	local answer

	answer=$(doctor "$1")
	jq -e --arg subject "$2" --arg text "$3" --arg remedy "$4" '.findings[] | select(.level == "bad" and .subject == $subject)
		| select((.text | test($text)) and (.remedy | test($remedy)))' <<< "$answer" > /dev/null ||
		fail "$2: $3 ($4) is not among what $1 is told: $answer"
}
# The command that is shown, as it is.
mend() { # SUBJECT
	bash -euc "$(doctor root | jq -r --arg subject "$1" '.findings[] | select(.level == "bad" and .subject == $subject) | .remedy')"
}
assert_well() { # USER
	as "$1" ublk-client doctor || fail "all is well, but not for $1's doctor"
}

assert_well alice
assert_well root
case $(uname -r) in
6.12.*) level=note ;;
*) level=good ;;
esac
assert_eq "$(doctor alice | jq -r '.findings[] | select(.subject == "features") | .level')" "$level" \
	"whether this kernel's driver has all features"
assert_bad bob polkit "administrator's password" 'usermod -aG ublk bob'

sysctl -qw kernel.io_uring_disabled=2
at_exit sysctl -qw kernel.io_uring_disabled=0
assert_bad alice io_uring 'to everybody' '^sysctl '
mend io_uring
mkdir -p /run/udev/rules.d
touch /run/udev/rules.d/59-ublk.rules
at_exit rm -f /run/udev/rules.d/59-ublk.rules
assert_bad alice udev '/run/udev/rules.d/59-ublk.rules is in place' 'remove it'
rm /run/udev/rules.d/59-ublk.rules

# With less and less of the system.
server=$(command -v ublk-server)
mv "$server" "$server.away"
at_exit eval "[ ! -e $server.away ] || mv $server.away $server"
assert_bad alice server "$server is not there" 'apt install ublk-server'
mv "$server.away" "$server"
systemctl mask --now --runtime --quiet ublkd
at_exit systemctl unmask --runtime --quiet ublkd
assert_bad alice ublkd 'masked' 'systemctl status ublkd'
systemctl unmask --runtime --quiet ublkd
answer=$(expect_fail as alice unshare --map-root-user --mount sh -c 'mount -t tmpfs none /run && ublk-client doctor')
grep -q '^bad   bus .*cannot reach' <<< "$answer" || fail "without a bus: $answer"

# ublkd loses a device: its owner's server serves on, and nobody could delete it. --clean does not: it may be another program's.
n=$(add_device alice null "{'size': <uint64 1048576>}")
systemctl stop ublkd
rm "/run/ublkd/devices/$n"
touch /run/ublkd/devices/4000
ln -s ../../ublkb4000 /dev/disk/by-ublk/1000-gone
systemctl start ublkd
assert_bad alice leftover "device $n of user alice, which is served" "ublk-owner delete ublkc$n --force"
assert_bad root leftover 'leads to no device' '^rm '
answer=$(expect_fail as alice ublk-client doctor --clean)
grep -q "root's to remove" <<< "$answer" || fail "alice's --clean says '$answer'"
answer=$(expect_fail ublk-client doctor --clean)
grep -q "device $n of user alice, which is served" <<< "$answer" || fail "root's --clean says '$answer'"
[ ! -e /run/ublkd/devices/4000 ] && [ ! -L /dev/disk/by-ublk/1000-gone ] || fail "--clean leaves what nobody needs"
[ -b "/dev/ublkb$n" ] || fail "--clean deletes a device that is served"
owner=/usr/lib/udev/ublk-owner
answer=$(expect_fail "$owner" delete "ublkc$n")
grep -q 'serves it; --force' <<< "$answer" || fail "ublk-owner delete says '$answer'"
"$owner" delete "ublkc$n" --force
# systemd takes its server's unit away when it sees that end.
wait_until 30 _is_gone "$n" || assert_gone "$n"
ublk-client doctor --clean --json | jq -e '.findings | length > 0' > /dev/null || fail "--clean --json prints something else, too"
assert_nothing_left
assert_well root
