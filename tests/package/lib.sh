# SPDX-License-Identifier: LGPL-2.1-or-later
# What both boots of the package test share.
. /src/tests/system/lib.sh
export DEBIAN_FRONTEND=noninteractive

# The test machine has the group and the driver for the sake of the other tests; here the packages are to bring them.
[ -e /etc/ublkd/devices.d ] || modprobe -r ublk_drv
[ -e /etc/ublkd/devices.d ] || [ ! -e /dev/ublk-control ] || fail "the driver is loaded"

# What comes back after a reboot: a device of alice's, who lingers, and one of root's with a file system that fstab mounts.
keep_devices() {
	# The test machine boots no further than it needs to.
	rm /etc/systemd/system-generators/systemd-fstab-generator
	systemctl unmask --quiet remote-fs.target
	mkdir /etc/systemd/system/vm.target.d
	printf '[Unit]\nWants=multi-user.target remote-fs.target\nAfter=multi-user.target remote-fs.target\n' > /etc/systemd/system/vm.target.d/more.conf
	loginctl enable-linger alice
	as alice ublk-client add -t null --size 1M --name hers --keep
	ublk-client add -t loop -f /var/data.img --create 16M --name data --keep
	mkfs.ext4 -q /dev/disk/by-ublk/0-data
	mkdir -p /srv/data
	echo '/dev/disk/by-ublk/0-data /srv/data ext4 _netdev 0 2' >> /etc/fstab
	systemctl daemon-reload
	mount /srv/data
	echo kept > /srv/data/text
}

assert_kept_devices() {
	# What boots is not waited for by the machine's own command.
	systemctl start multi-user.target remote-fs.target
	assert_eq "$(cat /srv/data/text)" kept "what fstab mounted after the reboot"
	assert_eq "$(findmnt -n -o SOURCE /srv/data)" "$(readlink -f /dev/disk/by-ublk/0-data)" "what it mounted"
	wait_until 60 test -e /dev/disk/by-ublk/1000-hers || fail "alice's device has not come back: $(journalctl --no-pager -u user@1000 | tail -n 20)"
}

forget_devices() {
	umount /srv/data
	sed -i /0-data/d /etc/fstab
	ublk-client del data
	as alice ublk-client del hers
	ls /etc/ublkd/devices.d /home/alice/.config/ublk 2> /dev/null && fail "what is kept is not forgotten"
	loginctl disable-linger alice
	# Their units have nothing to do any more, and take their slice along.
	systemctl stop ublk@data.service system-ublk.slice
	rm -rf /var/data.img /srv/data
	systemctl daemon-reload
}

# As she would after a login: with the groups that she has now.
use_as_alice() {
	local node

	node=$(as alice ublk-client add -t loop -f disk.img --name work)
	as alice sh -c "echo written > text && dd if=text of=$node oflag=direct bs=512 count=1 conv=sync status=none && head -c 7 disk.img" > /tmp/text
	assert_eq "$(cat /tmp/text)" written "what went through $node into the file"
	assert_eq "$(stat -c %U:%a "$node")" alice:600 "who has the node, and how"
}
