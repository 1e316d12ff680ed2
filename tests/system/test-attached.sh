#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A server of the user's own, in fresh user, mount and pid namespaces whose root has no /dev and whose uid is 0, needs only the bus's
# socket: CreateDevice's descriptor and Start make a device that the user's programs on the host read and write, by checksum. What a caller
# mounts over nodes and files, for itself alone, misleads nobody.
. "$(dirname "$0")/devices.sh"

directory=$(scratch alice)

# run_in_box COMMAND… : as alice. What a minimal container has: programs, /proc of its own, the bus. No /dev, no /sys.
cat > "$directory/box" <<-'S'
	set -e
	PATH=$PATH:/usr/sbin
	root=$1
	shift
	mount -t tmpfs box "$root"
	mkdir "$root"/{usr,proc,run,etc,src}
	for link in bin lib lib64 sbin; do
	    ln -s "usr/$link" "$root/$link"
	done
	mount --rbind /usr "$root/usr"
	mount --rbind /src "$root/src"
	mkdir "$root/run/dbus" "$root/old"
	mount --bind /run/dbus "$root/run/dbus"
	mount -t proc proc "$root/proc"
	cd "$root"
	pivot_root . old
	umount -l /old
	rmdir /old
	[ ! -e /dev ] && [ ! -e /sys ] && [ "$(id -u)" = 0 ] && [ "$$" = 1 ] || exit 99
	exec "$@"
S
as alice mkdir "$directory/root"
run_in_box() {
	as alice unshare --user --map-root-user --mount --pid --fork --kill-child bash "$directory/box" "$directory/root" "$@"
}

check() { # WHAT, then what was started prints "live N" or a node to $directory/output
	local what=$1 n=$2

	assert_eq "$(kernel_says "$n" unprivileged)" 1 "$what: the kernel's UNPRIVILEGED_DEV"
	assert_eq "$(kernel_says "$n" uid):$(kernel_says "$n" gid)" 1000:1000 "$what: the kernel's owner"
	assert_eq "$(stat -c '%U:%G %a' "/dev/ublkb$n")" "alice:alice 600" "$what: the node"
	assert_eq "$(property "$n" State)" live "$what: the state"
	assert_eq "$(property "$n" Target)" "" "$what: the target"
	pid=$(server_pid "$n")
	assert_eq "$(kernel_says "$n" pid)" "$pid" "$what: the server's pid"
	[ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ] || fail "$what: the server is in the host's namespace"
	as alice fio --name="$what" --filename="/dev/ublkb$n" --direct=1 --rw=randwrite --bsrange=4k-64k --size=8M \
		--ioengine=io_uring --iodepth=16 --verify=crc32c --verify_fatal=1 > "$directory/fio" 2>&1 ||
		fail "$what: $(cat "$directory/fio")"
	refused "(Busy|InvalidState)" . as alice "$BUS_CALL" "$n" Start "({'size': <uint64 8388608>},)"
}

run_in_box "$HELPERS/attached-server" 8388608 2 32 > "$directory/output" 2>&1 &
box=$!
wait_until 20 grep -q ^live "$directory/output" || fail "the server does not get live: $(cat "$directory/output")"
n=$(sed -n 's/^live //p' "$directory/output")
check "a small server" "$n"
delete_device alice "$n"
wait "$box" || true
grep -q ^gone "$directory/output" || fail "the server did not see its device go: $(cat "$directory/output")"

# It dies: so does the device.
run_in_box "$HELPERS/attached-server" 8388608 > "$directory/output" 2>&1 &
box=$!
wait_until 20 grep -q ^live "$directory/output" || fail "the server does not get live: $(cat "$directory/output")"
n=$(sed -n 's/^live //p' "$directory/output")
since=$(milliseconds)
kill -KILL "$(server_pid "$n")"
wait_until 3 _is_gone "$n" || assert_gone "$n"
assert_within 2000 "$since" "the end of the device"
wait "$box" || true

# --- Mounts of the caller's own: other things over the driver's node, over the backing file, over both nodes of the device. They are nobody
# else's. A managed device is refused there, since the path may mean another file; a server there has its device as anywhere, from the
# descriptor, and every call is for the device that the host has by that number.
for user in alice root; do
	namespace=(unshare --mount)
	enter=(--mount)
	other=alice
	if [ "$user" = alice ]; then
		namespace+=(--map-root-user)
		enter+=(--user --preserve-credentials)
		other=root
	fi
	victim=$(add_device "$other" null "{'size': <uint64 1048576>}")
	file=$(backing_file "$user" 8M)
	there=$(backing_file "$user" 8M)
	printf 'what is mounted there' | dd of="$there" bs=4096 conv=notrunc,sync status=none
	control="mount --bind /dev/null /dev/ublk-control"

	answer=$(expect_fail as "$user" "${namespace[@]}" bash -euc "$control; mount --bind $there $file; ublk-client add -t loop -f $file")
	grep -q "another mount namespace than the host" <<< "$answer" || fail "$user's managed device: $answer"
	# A mount is no way to a file that she may not read.
	if [ "$user" = alice ]; then
		answer=$(expect_fail as alice "${namespace[@]}" bash -euc "mount --bind /etc/shadow $file; ublk-client serve -t loop -f $file")
		grep -q "Permission denied" <<< "$answer" || fail "a server over /etc/shadow: $answer"
	fi

	as "$user" "${namespace[@]}" bash -euc "$control; mount --bind $there $file; exec ublk-client serve -t loop -f $file" \
		> "$directory/output" 2>&1 &
	server=$!
	wait_until 20 grep -q ^/dev/ublkb "$directory/output" || fail "$user: the device does not get live: $(cat "$directory/output")"
	n=$(sed -n 's,^/dev/ublkb,,p' "$directory/output")
	client=$(pgrep -u "$user" -x ublk-client)
	for kind in b c; do
		nsenter --target "$client" --mount mount --bind "/dev/ublk$kind$victim" "/dev/ublk$kind$n"
	done
	inside() {
		as "$user" nsenter --target "$client" "${enter[@]}" "$@"
	}
	assert_eq "$(inside stat -c %t:%T "/dev/ublkb$n")" "$(stat -c %t:%T "/dev/ublkb$victim")" "$user: the node that is seen there"
	assert_eq "$(kernel_says "$n" uid) $(property "$n" State)" "$(id -u "$user") live" "$user: the device"
	assert_eq "$(first_text "$user" "$n")" "what is mounted there" "$user: the first sector"
	# ublkd opens for her what the host has there.
	text=$(inside ublk-client open "$n" -- sh -c "dd bs=4096 count=1 status=none <&3 | tr -d '\\000'")
	assert_eq "$text" "what is mounted there" "$user: what is opened"
	inside ublk-client del "$n"
	assert_gone "$n"
	wait "$server" || true
	assert_eq "$(property "$victim" State) $(kernel_says "$victim" state)" "live 1" "$user: the device that was mounted there"
	assert_eq "$(stat -c '%U %a' "/dev/ublkb$victim")" "$other 600" "$user: its node"
	delete_device "$other" "$victim"
done
