#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A Debian without anything of this project: the packages, a member for the group, a device.
. /src/tests/package/lib.sh

gpasswd -d alice ublk > /dev/null
groupdel ublk
# What else lies about under these names would be the packages' after their removal, too.
find / -xdev -name '*ublk*' ! -path '/src/*' ! -path '/proc/*' ! -path '/usr/lib/modules/*' ! -path '/usr/share/ublk-tests' | sort > /var/before
assert_eq "$(cat /var/before)" "" "what of this project is there before the packages"
dpkg-query -W -f '${Package}\n' | sort > /var/packages-before

apt-get -q -y install /src/build/ublkd_*.deb /src/build/ublk-client_*.deb /src/build/ublk-server_*.deb
# Nothing came with them: what they need is Debian's, and was there.
assert_eq "$(dpkg-query -W -f '${Package}\n' | sort | comm -13 /var/packages-before - | xargs)" "ublk-client ublk-server ublkd" "new packages"
getent group ublk > /dev/null || fail "there is no group ublk"
assert_eq "$(systemctl is-enabled ublkd 2>&1 || true)" static "whether ublkd waits for the bus to start it"

as alice truncate -s 16M disk.img
message=$(expect_fail as alice ublk-client add -t loop -f disk.img)
case $message in
*ublk*) ;;
*) fail "one who is not in the group is not told about it: $message" ;;
esac
usermod -aG ublk alice
use_as_alice
# An upgrade restarts the service, and no device notices.
before=$(systemctl show -p MainPID --value ublkd)
dpkg -i /src/build/ublkd_*.deb
wait_until 60 sh -c "[ \"\$(systemctl show -p MainPID --value ublkd)\" != $before ]" || fail "ublkd was not restarted"
keep_devices
assert_eq "$(as alice ublk-client info --json work | jq -r '.devices[].state')" live "the device's state after an upgrade"
