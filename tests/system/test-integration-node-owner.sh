# SPDX-License-Identifier: LGPL-2.1-or-later
# The owner of the nodes is the kernel's owner; when it cannot be learned, the nodes stay root's and nobody looks into them. The name
# comes from ublkd's note, if the note is about this very device.
. "$(dirname "$0")/udev.sh"

# The rules are understood as they were meant.
if udevadm verify --help > /dev/null 2>&1; then
	udevadm verify --no-summary /usr/lib/udev/rules.d/59-ublk.rules /usr/lib/udev/rules.d/99-ublk.rules
fi

file=$(backing_file alice 8M)
alice=$(id -u alice)
cookie=00c0ffee12345678
owner=/usr/lib/udev/ublk-owner

# note NAME COOKIE : as ublkd would write it. The number that the next device will get is the lowest free one: 0.
note() {
	install -d -m 0755 /run/ublkd
	install -d -m 0700 /run/ublkd/devices
	printf 'NAME=%s\nCOOKIE=%s\n' "$1" "$2" > /run/ublkd/devices/0
}
at_exit rm -f /run/ublkd/devices/0

check() { # NAME-OR-NOTHING WHAT
	local link=/dev/disk/by-ublk/$alice-$1

	assert_eq "$number" 0 "the device's number"
	assert_eq "$(udev_property /dev/ublkb0 UBLK_NAME)" "$1" "UBLK_NAME with $2"
	if [ -n "$1" ]; then
		assert_eq "$(realpath "$link")" /dev/ublkb0 "$link with $2"
	else
		assert_eq "$(links_to /dev/ublkb0)" "" "links with $2"
	fi
	assert_eq "$(udev_property /dev/ublkb0 UBLK_ID)" 0 "UBLK_ID with $2"
	assert_eq "$(udev_property /dev/ublkb0 UBLK_UNPRIVILEGED)" 1 "UBLK_UNPRIVILEGED with $2"
	assert_eq "$(udev_property /dev/ublkb0 UBLK_OWNER_UID)" "$alice" "UBLK_OWNER_UID with $2"
	assert_eq "$(udev_property /dev/ublkb0 UBLK_OWNER_GID)" "$(id -g alice)" "UBLK_OWNER_GID with $2"
}

note disk.one $cookie
make_device alice "$file" --cookie $cookie
check disk.one "its own note"
assert_works alice 0

# A note that was written by somebody else, or about somebody else's device, is not believed.
again() {
	udevadm trigger --settle --action=change /sys/class/block/ublkb0
}
note disk.two 00c0ffee12345679
again
check "" "another device's note"
note "$(printf 'disk\nUBLK_OWNER_UID=0')" $cookie
again
check disk "a line more"
note 'disk/../../sda' $cookie
again
check "" "a name that is none"
note disk.three $cookie
chown bob /run/ublkd/devices/0
again
check "" "bob's note"
chown root /run/ublkd/devices/0
chmod 666 /run/ublkd/devices/0
again
check "" "a note that all may write"
chmod 600 /run/ublkd/devices/0
again
check disk.three "its own note once more"
end_device
[ ! -e "/dev/disk/by-ublk/$alice-disk.three" ] || fail "the link stays"

# The next device of the number, and the note that stayed: not its name.
make_device alice "$file" --cookie 0123456789abcdef
check "" "the last device's note"
end_device
make_device alice "$file"
check "" "no cookie at all"

# The claim alone also mends a wrong owner, and leaves what is right.
chown bob: /dev/ublkc0
$owner claim ublkc0
assert_eq "$(node_owner /dev/ublkc0)" "$alice:$(id -g alice) 600" "/dev/ublkc0 after the claim"
$owner claim ublkc63
for wrong in ublkb0p1 ublkb ublkb-1 ublkb4294967295 sda ../ublkb0 'ublkb0 '; do
	expect_fail $owner describe "$wrong" > /dev/null
done

# Without the helper: nothing is given to anybody, nothing is read.
for broken in /usr/bin/false /usr/bin/true; do
	mount --bind "$broken" $owner
	at_exit umount $owner
	chown root: /dev/ublkc0 /dev/ublkb0
	udevadm trigger --settle --action=add /sys/class/block/ublkb0 /sys/class/ublk-char/ublkc0
	umount $owner
	_exit_commands=("${_exit_commands[@]:1}")
	assert_eq "$(node_owner /dev/ublkb0)" "0:0 600" "/dev/ublkb0 with $broken as helper"
	assert_eq "$(node_owner /dev/ublkc0)" "0:0 600" "/dev/ublkc0 with $broken as helper"
	assert_not_probed /dev/ublkb0
done

# With it again: the next event mends everything.
udevadm trigger --settle --action=change /sys/class/block/ublkb0 /sys/class/ublk-char/ublkc0
assert_eq "$(node_owner /dev/ublkb0)" "$alice:$(id -g alice) 600" "/dev/ublkb0 with the helper again"
assert_eq "$(node_owner /dev/ublkc0)" "$alice:$(id -g alice) 600" "/dev/ublkc0 with the helper again"
end_device
