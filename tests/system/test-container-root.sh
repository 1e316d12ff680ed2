#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# uid 0 on the bus is an administrator only with CAP_SYS_ADMIN in the initial user namespace: a container's root is not. A caller in
# another mount namespace is refused managed devices, whose paths would mean other files, and told how else; one in another pid namespace
# is as good as any.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
n=$(add_loop alice "$file")

# --- As docker and podman run a root: without the capability; and with all of them, in a user namespace.
container_root=(setpriv --bounding-set=-sys_admin --inh-caps=-all)
namespaced_root=(unshare --user --map-root-user)
"${container_root[@]}" bash -c '[ "$(id -u)" = 0 ] && ! mount -t tmpfs none /mnt 2> /dev/null' || fail "it has the capability"
for kind in container namespaced; do
	declare -n prefix=${kind}_root
	for call in "$n Delete (@a{sv} {},)" "$n Stop (@a{sv} {},)" "$n GetBackingFile (@a{sv} {},)" "$n OpenBlockDevice (@a{sv} {},)" \
		"Manager AddDevice ('null', {'size': <uint64 1048576>})" "Manager CreateDevice (@a{sv} {},)"; do
		read -r object method arguments <<< "$call"
		answer=$(expect_fail "${prefix[@]}" "$BUS_CALL" "$object" "$method" "$arguments")
		case $answer in
		"error org.freedesktop.DBus.Error.AccessDenied "*) ;;
		*) fail "$kind root's $method: $answer" ;;
		esac
	done
done
assert_works alice "$n"
# The same as the real one.
as root "$BUS_CALL" "$n" GetBackingFile '(@a{sv} {},)' | grep -F "$file" > /dev/null || fail "root is not told the path"

# --- Another mount namespace. By path and by descriptor, since the server would open it elsewhere; the word is "serve".
in_mounts() {
	unshare --mount --propagation private setpriv --reuid=alice --regid=alice --init-groups --reset-env "$@"
}
for arguments in "('loop', {'file': <'$file'>})" "('null', {'size': <uint64 1048576>})"; do
	answer=$(expect_fail in_mounts "$BUS_CALL" Manager AddDevice "$arguments")
	grep -E "^error org.ublk1.Error.NotSupported .*(CreateDevice|serve)" <<< "$answer" > /dev/null ||
		grep -E "^error [^ ]* .*serve" <<< "$answer" > /dev/null || fail "AddDevice in another mount namespace: $answer"
done
delete_device alice "$n"

# --- Another pid namespace: managed and attached.
in_pids() {
	unshare --pid --fork --kill-child setpriv --reuid=alice --regid=alice --init-groups --reset-env "$@"
}
answer=$(in_pids "$BUS_CALL" Manager AddDevice "('loop', {'file': <'$file'>})") || fail "AddDevice in another pid namespace: $answer"
n=${answer##*/}
n=${n%%\'*}
assert_works alice "$n"
delete_device alice "$n"
in_pids "$HELPERS/attached-server" 1048576 > "${file%/*}/output" 2>&1 &
server=$!
wait_until 30 grep -q ^live "${file%/*}/output" || fail "no server in another pid namespace: $(cat "${file%/*}/output")"
n=$(sed -n 's/^live //p' "${file%/*}/output")
assert_eq "$(kernel_says "$n" pid)" "$(server_pid "$n")" "the server's pid"
as alice dd if="/dev/ublkb$n" of=/dev/null bs=4096 count=1 iflag=direct status=none || fail "alice cannot read it"
delete_device alice "$n"
wait "$server" || true
