#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A server in a rootless container without any --device, over a file that only the container has at that path: by `podman run`, and by
# `podman exec` in a container that runs already, with everything taken away that can be. On the host it is the user's device like any
# other. With podman's default profile the error says what is missing.
# timeout: 900
. "$(dirname "$0")/containers.sh"

keep_manager alice
box_image alice podman
profile=$(seccomp_profile alice)
file=$(backing_file alice 8M)
serve=(ublk-client serve -t loop -f /data/disk.img)
volume=(-v "$file:/data/disk.img")

check() { # NAME : it is there, for the user on the host
	local n

	wait_until 60 has_device alice "$1" || fail "$1: no such device; the container says: $(cat "$output")"
	n=$(number_of alice "$1")
	assert_works alice "$n"
	assert_eq "$(readlink -f "/dev/disk/by-ublk/1000-$1")" "/dev/ublkb$n" "$1: the link"
	assert_eq "$(kernel_says "$n" uid):$(kernel_says "$n" gid)" 1000:1000 "$1: the kernel's owner"
	[ "$(readlink "/proc/$(server_pid "$n")/ns/user")" != "$(readlink /proc/self/ns/user)" ] || fail "$1: it is served outside"
	as alice fio --name="$1" --filename="/dev/ublkb$n" --direct=1 --rw=randwrite --bs=4k --offset=1M --size=1M --ioengine=psync \
		--verify=crc32c --verify_fatal=1 > "$output.fio" 2>&1 || fail "$1: $(cat "$output.fio")"
}
output=$(scratch alice)/output

answer=$(expect_fail as_session alice podman run --rm "${BOX[@]}" "${BUS[@]}" "${volume[@]}" --group-add keep-groups box "${serve[@]}")
grep -E "seccomp filter forbids it \((ENOSYS|EPERM)\).*ublk-client seccomp" <<< "$answer" > /dev/null || fail "with the default profile: $answer"

# --- With nothing that a server does not need.
as_session alice podman run --rm --name bare "${BOX[@]}" "${BUS[@]}" "${volume[@]}" --read-only --cap-drop=all --userns=keep-id \
	--security-opt no-new-privileges --security-opt "seccomp=$profile" --group-add keep-groups box "${serve[@]}" --name bare \
	> "$output" 2>&1 &
container=$!
at_exit eval 'as_session alice podman rm -f -t 0 bare running > /dev/null 2>&1'
check bare
as_session alice podman stop -t 20 bare > /dev/null
wait "$container" || true
wait_until 20 has_no_device alice bare || fail "bare: the device outlives its container"

# --- In a container that is there already. Its end by force is the device's end.
serves_by_exec() { # NAME OPTION…
	local name=$1
	shift

	as_session alice podman run -d --name running "${BOX[@]}" "${BUS[@]}" "${volume[@]}" --security-opt "seccomp=$profile" \
		--group-add keep-groups "$@" box sleep 1000 > /dev/null
	as_session alice podman exec running "${serve[@]}" --name "$name" > "$output" 2>&1 &
	container=$!
	check "$name"
	as_session alice podman exec running ublk-client list > "$output.list"
	grep -F "$name" "$output.list" > /dev/null || fail "$name: the container sees: $(cat "$output.list")"
	as_session alice podman rm -f -t 0 running > /dev/null
	wait "$container" || true
	wait_until 20 has_no_device alice "$name" || fail "$name: the device outlives its container"
}
serves_by_exec exec
# (BOX has no network, either.)
serves_by_exec bare-exec --read-only --cap-drop=all --userns=keep-id --security-opt no-new-privileges
