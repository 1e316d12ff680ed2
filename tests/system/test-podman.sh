#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A rootless container reads and writes a device that it is given with --device; the bytes are in the backing file. Without --device
# it has none, and another user in the container has no right to it.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 8M)
n=$(add_loop alice "$file")
node=/dev/ublkb$n

podman() {
	as_session alice podman "$@"
}
at_exit eval 'as_session alice podman rmi -f busybox > /dev/null 2>&1'
podman import -q /usr/share/ublk-tests/busybox.tar busybox > /dev/null

run() { # OPTIONS -- COMMAND
	podman run --rm --network=none "$@"
}
output=$(run --device "$node" busybox sh -c "dd if=$node bs=512 count=1 2>/dev/null | tr -d '\\000'; echo; \
	echo 'from the container' | dd of=$node bs=4096 seek=1 conv=fsync,sync 2>/dev/null && echo written")
assert_eq "$output" "the first sector of a disk of alice
written" "what the container said"
assert_eq "$(dd if="$file" bs=4096 skip=1 count=1 status=none | tr -d '\0')" "from the container" "the file"

output=$(run busybox sh -c "dd if=$node of=/dev/null count=1 2>&1" || true)
grep -q "No such file" <<< "$output" || fail "without --device: $output"
output=$(run --device "$node" --user 65534 busybox sh -c "dd if=$node of=/dev/null count=1 2>&1" || true)
grep -qE "Permission denied|Operation not permitted" <<< "$output" || fail "another user in the container: $output"
delete_device alice "$n"
