#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# Who may make a device with an administrator's password, and has no desktop that could ask, is asked at the terminal of a session like
# ssh's, by an agent that goes when it is done. A wrong password and --no-ask-password are refusals.
. "$(dirname "$0")/devices.sh"

# carol is the administrator.
gpasswd -a carol sudo > /dev/null
at_exit gpasswd -d carol sudo
echo carol:secret | chpasswd
at_exit passwd -q -d carol
at_terminal() { # PASSWORD COMMAND…
	as_session bob "$(dirname "$(realpath "$0")")/type-password.py" "$@"
}

output=$(at_terminal secret ublk-client add -t null --size 1M --name his) || fail "with the password: $output"
grep -q 'Authentication is required to create a block device' <<< "$output" || fail "what bob reads: $output"
grep -q "/dev/ublkb0$" <<< "$output" || fail "with the password: $output"
# His own are his: nobody asks.
output=$(at_terminal secret ublk-client del his) || fail "his own: $output"
assert_eq "$output" "asked: False" "what is asked for his own device"
assert_nothing_left

output=$(expect_fail at_terminal wrong ublk-client add -t null --size 1M)
grep -q 'and the one that was given is wrong' <<< "$output" || fail "with a wrong password: $output"
grep -qx 'asked: True' <<< "$output" || fail "nobody asked: $output"
output=$(expect_fail at_terminal secret ublk-client add -t null --size 1M --no-ask-password)
grep -qx 'asked: False' <<< "$output" || fail "--no-ask-password: $output"
# No terminal, nobody to ask.
output=$(expect_fail as bob ublk-client add -t null --size 1M < /dev/null)
grep -q 'not authorized' <<< "$output" || fail "without a terminal: $output"
! pgrep -x pkttyagent || fail "an agent is left"
