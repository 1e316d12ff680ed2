#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# A device that is kept comes back: alice's when she logs in, root's at boot and before what fstab mounts of it. `del` forgets it.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 8M)
conf=/home/alice/.config/ublk/work.conf
at_exit rm -rf /home/alice/.config/ublk /etc/ublkd/devices.d

as alice ublk-client add -t loop -f "$file" --name work -q 2 --no-fua --read-only --keep
assert_eq "$(grep -v '^#' "$conf" | xargs)" "target=loop file=$file queues=2 read-only no-fua" "what is kept"
assert_eq "$(stat -c '%U %a' "$conf")" "alice 600" "whose the file is"
answer=$(expect_fail as alice ublk-client add -t null --size 1M --name work --keep)
grep -q 'kept already' <<< "$answer" || fail "kept twice: $answer"
# One that could not be made is not kept.
answer=$(expect_fail as alice ublk-client add -t null --size 1M --name other --id 0 --keep)
assert_eq "$(ls /home/alice/.config/ublk)" work.conf "what is kept"

# Here the device goes, as in a reboot; then she logs in.
as alice ublk-client del --no-forget work
# What other tests have begun may keep her systemd.
systemctl stop user@1000
as_session alice bash -euc '
	systemctl --user show -P Wants default.target | grep -qw ublk@work.service
	systemctl --user start ublk@work
	ublk-client info --json work | jq -e ".devices[0] | .queues == 2 and .read_only and .state == \"live\"" > /dev/null
	ublk-client add --kept work
	[ "$(systemctl --user show -P TimeoutStartUSec ublk@work)" = 3min ]
	systemctl --user stop ublk@work
	if ublk-client info work 2> /dev/null; then exit 1; fi
	systemctl --user start ublk@work
'
as alice ublk-client del work
[ ! -e "$conf" ] || fail "del has not forgotten it"
answer=$(expect_fail as alice ublk-client add --kept work)
grep -q "there is no $conf" <<< "$answer" || fail "add --kept: $answer"

# Root's, with a file system.
disk=$(scratch root)/data.img
point=$(mktemp -d)
ublk-client add -t loop -f "$disk" --create 16M --name data --keep
mkfs.ext4 -q /dev/disk/by-ublk/0-data
ublk-client del --no-forget data
cp /etc/fstab "$point.fstab"
# The test machine does without.
rm /etc/systemd/system-generators/systemd-fstab-generator
at_exit ln -s /dev/null /etc/systemd/system-generators/systemd-fstab-generator
at_exit eval "umount -q $point; rmdir $point; mv $point.fstab /etc/fstab; systemctl daemon-reload; rm -rf ${disk%/*}"
echo "/dev/disk/by-ublk/0-data $point ext4 _netdev 0 0" >> /etc/fstab
systemctl daemon-reload
mount_unit=$(systemd-escape --path --suffix=mount "$point")
systemctl show -P Wants multi-user.target | grep -qw ublk@data.service || fail "ublk@data.service is not wanted at boot"
systemctl show -P Before ublk@data.service | grep -qw remote-fs-pre.target || fail "ublk@data.service comes too late"
systemctl show -P After "$mount_unit" | grep -qw remote-fs-pre.target || fail "$mount_unit comes too early"
systemctl start --no-block "$mount_unit"
systemctl start ublk@data "$mount_unit"
findmnt -n "$point" > /dev/null || fail "it is not mounted"
# Its server goes after the file system.
unit=$(systemctl list-units --plain --no-legend 'ublk-server-*' | awk '{ print $1 }')
systemctl show -P Before "$unit" | grep -qw remote-fs-pre.target || fail "$unit may go before the file system"
answer=$(expect_fail ublk-client del data)
grep -q 'is mounted at' <<< "$answer" || fail "del of a mounted device: $answer"
systemctl stop "$mount_unit" ublk@data
assert_nothing_left
ublk-client del data
[ ! -e /etc/ublkd/devices.d ] || fail "what is kept after del: $(ls /etc/ublkd/devices.d)"
