# SPDX-License-Identifier: LGPL-2.1-or-later
# An ordinary user's disk takes over no link of another disk and makes root do nothing, whatever is on it; root's own ublk disks are
# treated like any disk.
. "$(dirname "$0")/udev.sh"

uuid=deadbeef-0000-4000-8000-00000000cafe
label=stolen-label
directory=$(scratch alice)
ext4_disk "$directory/ext4" "$uuid" "$label"
gpt_disk "$directory/gpt"
lvm_disk "$directory/lvm"
md_disk "$directory/md"
chown -R alice: "$directory"

# The files are what they claim to be, else the rest proves nothing.
for kind in ext4:ext4 lvm:LVM2_member md:linux_raid_member; do
	assert_eq "$(blkid -p -o value -s TYPE "$directory/${kind%:*}")" "${kind#*:}" "what blkid finds in ${kind%:*}"
done
assert_eq "$(blkid -p -o value -s PTTYPE "$directory/gpt")" gpt "what blkid finds in gpt"

# Root's own disk with that UUID is there first.
cp "$directory/ext4" "$directory/root"
make_device root "$directory/root"
root_disk=/dev/ublkb$number
root_pid=$device_pid
assert_eq "$(udev_property "$root_disk" UBLK_UNPRIVILEGED)" 0 "UBLK_UNPRIVILEGED of root's"
assert_eq "$(udev_property "$root_disk" UBLK_OWNER_UID)" 0 "UBLK_OWNER_UID of root's"
assert_eq "$(udev_property "$root_disk" DM_UDEV_DISABLE_OTHER_RULES_FLAG)" "" "the flag on root's"
assert_eq "$(node_owner "$root_disk")" "0:$(getent group disk | cut -d: -f3) 660" "$root_disk"
by_uuid=/dev/disk/by-uuid/$uuid
if [ "$(udevadm --version)" -ge 255 ]; then
	# What systemd does with a ublk disk by itself: a link for the UUID.
	assert_eq "$(udev_property "$root_disk" ID_FS_UUID)" "$uuid" "ID_FS_UUID of root's"
	assert_eq "$(realpath "$by_uuid")" "$root_disk" "$by_uuid"
fi

for content in ext4 gpt lvm md; do
	make_device alice "$directory/$content"
	disk=/dev/ublkb$number
	assert_eq "$(node_owner "/dev/ublkc$number")" "$(id -u alice):$(id -g alice) 600" "/dev/ublkc$number"
	assert_eq "$(node_owner "$disk")" "$(id -u alice):$(id -g alice) 600" "$disk"
	assert_not_probed "$disk"
	assert_eq "$(links_to "$disk")" "" "links to alice's disk with $content"

	# Not when it was written to and closed (that is what a watch is for) …
	as alice dd if="$disk" of="$disk" bs=4k count=1 conv=notrunc status=none
	udevadm settle -t 20
	# … nor when somebody asks udev to look again.
	for action in change add; do
		udevadm trigger --settle --action="$action" "/sys/class/block/ublkb$number"
		assert_not_probed "$disk"
		assert_eq "$(links_to "$disk")" "" "links to alice's disk with $content after $action"
		assert_eq "$(node_owner "$disk")" "$(id -u alice):$(id -g alice) 600" "$disk after $action"
	done

	# systemd knows it nevertheless: fstab and units may wait for it.
	systemctl --quiet is-active "$(systemd-escape -p --suffix=device "$disk")" || fail "systemd does not take $disk for ready"
	end_device
	assert_gone "$number"
done

if [ "$(udevadm --version)" -ge 255 ]; then
	assert_eq "$(realpath "$by_uuid")" "$root_disk" "$by_uuid afterwards"
fi
systemctl list-units --all --no-legend --plain 'lvm-activate*' 'mdadm*' | grep . && fail "something was activated"
end_device "$root_pid"
