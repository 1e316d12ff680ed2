# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests with container engines share, on top of devices.sh. A test starts with
#	. "$(dirname "$0")/containers.sh"

. "$(dirname "${BASH_SOURCE[0]}")/devices.sh"

# Within a container: this system's programs, read-only, over a root that has nothing else.
BOX=(--network=none -v /usr:/usr:ro)
# The host's bus.
BUS=(-v /run/dbus/system_bus_socket:/run/dbus/system_bus_socket)

# Lines of shell that read a device's first block and write it into the second one; by descriptor 3, that is where its position is then.
# Without quotes that would end another's.
uses() { # NODE
	echo "dd if=$1 bs=4096 count=1 status=none > /tmp/s && dd if=/tmp/s of=$1 bs=4096 seek=1 conv=fsync status=none && tr -d \\\\000 < /tmp/s"
}
USES_DESCRIPTOR="dd bs=4096 count=1 status=none <&3 > /tmp/s && dd bs=4096 if=/tmp/s conv=fsync status=none >&3 && tr -d \\\\000 < /tmp/s"

# assert_used NUMBER FILE TEXT ANSWER WHAT : these lines, run on alice's device, have printed its first block, TEXT and zeroes, and what
# they wrote is in its backing file. The second block is zeroes again.
assert_used() {
	assert_eq "$4" "$3" "$5"
	cmp --bytes=4096 --ignore-initial=0:4096 "$2" "$2" || fail "$5: what was written is not in the backing file"
	as alice dd if=/dev/zero "of=/dev/ublkb$1" bs=4096 count=1 seek=1 conv=notrunc,fsync status=none
	cmp --bytes=4096 --ignore-initial=0:4096 "$2" "$2" > /dev/null && fail "the second block of $2 is not zeroes"
	return 0
}

# box_image USER ENGINE : the image "box", empty but for the folders that a system has.
box_image() {
	local root
	root=$(scratch "$1")

	mkdir "$root"/{usr,proc,dev,sys,run,etc,tmp,var,data}
	for link in bin lib lib64 sbin; do
		ln -s "usr/$link" "$root/$link"
	done
	ln -s ../run "$root/var/run"
	chmod 755 "$root"
	chmod 1777 "$root/tmp"
	tar -C "$root" --owner=0 --group=0 -cf "$root.tar" .
	chmod 644 "$root.tar"
	if [ "$1" = root ]; then
		"$2" import "$root.tar" box > /dev/null
		at_exit eval "$2 rmi -f box > /dev/null 2>&1"
	else
		as_session "$1" "$2" import -q "$root.tar" box > /dev/null
		at_exit eval "as_session $1 $2 rmi -f box > /dev/null 2>&1"
	fi
	rm -rf "$root" "$root.tar"
}

# keep_manager USER : the user's systemd, and with it containers, outlive the last session.
keep_manager() {
	loginctl enable-linger "$1"
	at_exit loginctl disable-linger "$1"
}

# seccomp_profile USER : a profile that allows io_uring, as the user has it made; prints the file.
seccomp_profile() {
	local file

	file=$(scratch "$1")/seccomp.json
	as "$1" ublk-client seccomp > "$file"
	chmod 644 "$file"
	printf '%s\n' "$file"
}

# has_device USER NAME : a live device of that name, as its owner sees it.
has_device() {
	as "$1" ublk-client list --json |
		jq -e --arg name "$2" '.devices | any(.name == $name and .state == "live")' > /dev/null
}

# has_no_device USER NAME
has_no_device() {
	as "$1" ublk-client list --json | jq -e --arg name "$2" '.devices | all(.name != $name)' > /dev/null
}

# number_of USER NAME
number_of() {
	as "$1" ublk-client list --json | jq -e --arg name "$2" '.devices[] | select(.name == $name) | .id'
}
