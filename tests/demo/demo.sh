#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# demo.sh [--color] [--host [--user NAME]] : what the project does, step by step, each command as a person would type it. Run by
# `./run demo` as root in the test VM. With --host it uses this machine's kernel and installation (nothing is installed or loaded for
# it), and the given user, by default the one who called sudo. Ends with 0 only if every step did what it should, and leaves nothing.
. "$(dirname "$0")/../system/lib.sh"
trap - ERR

user=alice
host=
told=
typed=
plain=
while [ $# -gt 0 ]; do
	case $1 in
	--color)
		told=$'\e[32m'
		typed=$'\e[1m'
		plain=$'\e[m'
		;;
	--host)
		host=yes
		user=${SUDO_USER:-}
		;;
	--user)
		user=${2:-}
		shift
		;;
	*) fail "usage: demo.sh [--color] [--host [--user NAME]]" ;;
	esac
	shift
done

rescue=/usr/lib/grub-rescue
busybox_tar=/usr/share/ublk-tests/busybox.tar
steps=0
mounted=
imported=
folder=
work=

# --- Telling and doing.

say() {
	printf '\n%s# %s%s\n' "$told" "$*" "$plain"
}

# step PROMPT LINE COMMAND… : show what is typed, do it, keep what it prints in $last.
step() {
	local prompt=$1 line=$2 status=0
	shift 2

	printf '%s%s%s%s\n' "$prompt" "$typed" "$line" "$plain"
	"$@" 2>&1 < /dev/null | tee "$work/last" || status=$?
	last=$(cat "$work/last")
	[ "$status" = 0 ] || fail "status $status of: $line"
	steps=$((steps + 1))
}

# As the user, in the demo's directory of the user's.
type_user() {
	step "$user\$ " "$1" as "$user" bash -o pipefail -c "cd $folder && $1"
}

# The same in a login session, which rootless podman needs. systemd-run would expand a $ in it.
type_session() {
	step "$user\$ " "$1" as_session "$user" bash -o pipefail -c "cd $folder && $1"
}

type_root() {
	step 'root# ' "$1" bash -o pipefail -c "cd $folder && $1"
}

# expect TEXT : the last command printed this.
expect() {
	grep -qF -- "$1" <<< "$last" || fail "this should have been printed: $1"
}

finish() {
	local status=$?

	set +e
	[ -z "$mounted" ] || umount "$mounted"
	if [ -n "$work" ]; then
		# Only what the demo has made: by name, among the user's own.
		for name in demo demo-iso; do
			as "$user" ublk-client del "$uid/$name" > /dev/null 2>&1
		done
		[ -z "$imported" ] || as_session "$user" podman rmi -f "$image" > /dev/null 2>&1
		rm -rf "$work" "$folder"
	fi
	[ "$status" = 0 ] || echo "The demo FAILED." >&2
	exit "$status"
}
trap finish EXIT

# --- What it needs.

[ "$(id -u)" = 0 ] || fail "the demo starts as root: it mounts a file system, and does the rest as an ordinary user"
[ -n "$user" ] && [ "$user" != root ] && id "$user" > /dev/null 2>&1 ||
	fail "which ordinary user? sudo tells, or --user NAME"
for program in ublk-client busctl fio bsdtar podman jq mkfs.ext4 setpriv; do
	command -v "$program" > /dev/null || fail "there is no $program" \
		"(apt install fio libarchive-tools podman jq e2fsprogs util-linux; meson install for ublk-client)"
done
[ -e "$rescue/grub-rescue-cdrom.iso" ] || fail "there is no $rescue/grub-rescue-cdrom.iso (apt install grub-rescue-pc)"
if [ -n "$host" ]; then
	ublk-client features > /dev/null || fail "this machine cannot do it yet: see above"
fi

uid=$(id -u "$user")
home=$(getent passwd "$user" | cut -d: -f6)
work=$(mktemp -d)
folder=$(mktemp -d "$home/ublk-demo.XXXXXX")
image=localhost/ublk-demo
chown "$user:" "$folder"

# --- The demo.

say "$(uname -sr), $(ublk-client --version). $user is an ordinary user, in the group ublk."
type_user "id"
[ -n "$host" ] || expect "(ublk)"

say "A disk image: a copy of the one for USB sticks in Debian's grub-rescue-pc, made a bit larger."
type_user "cp $rescue/grub-rescue-usb.img disk.img && truncate -s 64M disk.img && ls -lh disk.img"

say "It becomes a block device. What is printed is the device's path, when it is ready: nobody has to wait for udev."
type_user "ublk-client add -t loop -f disk.img --name demo"
device=$last
[ -b "$device" ] || fail "$device is no block device"
type_user "ublk-client list"
expect "$device"
type_user "ublk-client info demo"
expect "$folder/disk.img"
type_user "ls -l $device /dev/disk/by-ublk/$uid-demo"

say "The device shows what is in the file: the same bytes, and the partition of a bootable stick."
type_user "cmp $device disk.img && partx --show $device"
expect "1     1"

say "It is the user's own: written at random and read back, each block with its checksum …"
type_user "fio --name=demo --filename=$device --rw=randwrite --bsrange=4k-64k --size=32M --verify=crc32c \\
	--ioengine=io_uring --iodepth=16 --direct=1 --invalidate=0 | grep -E 'err=|READ:|WRITE:'"
expect "err= 0"

say "… and a file system made on it, with files in it."
type_user "/usr/sbin/mkfs.ext4 -q -F -L demo -d /etc/systemd $device"
type_user "/usr/sbin/e2fsck -fn $device"

say "A real ISO, read-only this time."
type_user "ublk-client add -t loop -f $rescue/grub-rescue-cdrom.iso --read-only --name demo-iso"
iso=$last
type_user "ublk-client list"
expect "demo-iso"

say "Root mounts it. Its files are the ones that bsdtar takes out of the ISO itself."
type_user "mkdir mounted unpacked && bsdtar -xf $rescue/grub-rescue-cdrom.iso -C unpacked"
mounted=$folder/mounted
type_root "mount -o ro,nosuid,nodev -t iso9660 $iso mounted"
type_root "diff -r mounted unpacked && find mounted -type f | wc -l"
[ "$last" -gt 10 ] || fail "so few files were compared: $last"
type_root "umount mounted"
mounted=

say "A rootless container gets the device by --device and reads it: the checksum of the ISO."
if [ -e "$busybox_tar" ]; then
	tar=$busybox_tar
else
	tar=$work/busybox.tar
	mkdir -p "$work/box/bin"
	cp "$(command -v busybox)" "$work/box/bin/busybox"
	ln -s busybox "$work/box/bin/sha256sum"
	tar -C "$work/box" -cf "$tar" .
fi
imported=yes
type_session "podman import -q $tar $image"
type_session "podman run --rm --network=none --device $iso $image sha256sum $iso"
inside=${last%% *}
type_user "sha256sum $rescue/grub-rescue-cdrom.iso"
expect "$inside"

say "When they are deleted, the nodes go and the servers with them."
type_user "ublk-client del $iso"
type_user "ublk-client del demo && ublk-client list"
[ ! -e "$device" ] && [ ! -e "$iso" ] || fail "$device or $iso is still there"

say "The file system is in the image now."
type_user "/usr/sbin/e2fsck -fn disk.img | tail -n 1"

say "All of it is D-Bus: the same with nothing but busctl."
type_user "busctl call org.ublk1 /org/ublk1/Manager org.ublk1.Manager AddDevice \\
	'sa{sv}' loop 2 file s \"\$PWD/disk.img\" name s demo"
object=${last#o \"}
object=${object%\"}
device=/dev/ublkb${object##*/}
[ -b "$device" ] || fail "$device is no block device"
type_user "busctl tree org.ublk1"
expect "$object"
type_user "busctl introspect org.ublk1 $object org.ublk1.Device | cut -c 1-79"
expect ".Delete"
type_user "busctl get-property org.ublk1 $object org.ublk1.Device BlockDevice State Size"
expect "s \"$device\""
expect "s \"live\""
expect "t 67108864"
type_user "busctl call org.ublk1 $object org.ublk1.Device GetBackingFile 'a{sv}' 0"
expect "$folder/disk.img"
type_user "cmp $device disk.img && /usr/sbin/e2fsck -fn $device | tail -n 1"
type_user "busctl call org.ublk1 $object org.ublk1.Device Delete 'a{sv}' 0"
[ ! -e "$device" ] || fail "$device is still there"

say "And nothing is left: no device, no link, no process."
type_user "ublk-client list --json"
[ "$(jq '.devices | length' <<< "$last")" = 0 ] || [ -n "$host" ] || fail "devices are left"
[ -n "$host" ] || assert_nothing_left || fail "something is left"

printf '\nThe demo succeeded: all %s steps did what they should.\n' "$steps"
