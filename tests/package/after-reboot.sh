#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# After a reboot the packages are as good as before. With a device there they are removed and purged, and leave nothing.
. /src/tests/package/lib.sh

assert_kept_devices
forget_devices
ls /dev/ublkb* 2> /dev/null && fail "a device has outlived a reboot"
use_as_alice
apt-get -q -y remove ublkd ublk-client ublk-server
ls /dev/ublk[bc]* /run/ublkd 2> /dev/null && fail "the service was removed and its devices were not"
[ -e /etc/ublkd/ublkd.conf ] || fail "what the administrator may have changed went with a mere removal"
assert_eq "$(systemctl --all --plain --no-legend list-units '*ublk*' | xargs)" "" "units that are left"
apt-get -q -y purge ublkd ublk-client ublk-server
groupdel ublk # Debian keeps groups: a number that is given anew would be somebody else's
# systemd and apt remember names, no more.
find / -xdev -name '*ublk*' ! -path '/src/*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/usr/lib/modules/*' ! -path '/usr/share/ublk-tests' |
	sort > /var/after
assert_eq "$(cat /var/after)" "" "what is left after the purge"
assert_eq "$(dpkg-query -W -f '${Package}\n' | sort | comm -13 /var/packages-before - | xargs)" "" "packages that are left"
