#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# What each kind of user in a rootless container gets of a device, by the node and by an open descriptor (the table in
# docs/containers.md); by the name that the user gave it, as a link and by CDI, whose file follows the device's life; and in a
# container that runs already.
# timeout: 900
. "$(dirname "$0")/containers.sh"

keep_manager alice
box_image alice podman
file=$(backing_file alice 8M)
n=$(add_loop alice "$file" ", 'name': <'work'>")
node=/dev/ublkb$n
link=/dev/disk/by-ublk/1000-work
text="the first sector of a disk of alice"

run() { # OPTION… -- LINE : LINE in a new container of alice's
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	as_session alice podman run --rm "${BOX[@]}" "${options[@]}" box sh -c "$2" 2>&1
}
reads="head -c ${#text}"

# --- By the node.
assert_used "$n" "$file" "$text" "$(run --device "$node" -- "$(uses "$node")")" "container root"
assert_used "$n" "$file" "$text" "$(run --device "$node" --userns=keep-id -- "$(uses "$node")")" "keep-id"
for options in "--user 65534" "--user 0:65534" "--user 65534 --group-add keep-groups"; do
	# shellcheck disable=SC2086
	answer=$(run --device "$node" $options -- "dd if=$node of=/dev/null count=1" || true)
	grep -E "Permission denied|Operation not permitted" <<< "$answer" > /dev/null || fail "$options: $answer"
done

# --- By an open descriptor: also who may not open it.
for options in "" "--userns=keep-id" "--user 65534" "--user 0:65534" "--user 65534 --group-add keep-groups"; do
	# shellcheck disable=SC2086
	answer=$(as_session alice ublk-client open work -- podman run --rm "${BOX[@]}" --preserve-fds=1 $options box \
		sh -c "$USES_DESCRIPTOR" 2>&1)
	assert_used "$n" "$file" "$text" "$answer" "with the descriptor, as '$options'"
done

# --- By its name.
assert_eq "$(run --device "$link" -- "$reads < $node")" "$text" "by the link"
assert_eq "$(run --device "$link:$link" -- "$reads < $link")" "$text" "by the link, under its name"
answer=$(run --device org.ublk/disk=1000-work -- true || true)
grep -F "org.ublk/disk=1000-work" <<< "$answer" > /dev/null || fail "without a CDI file: $answer"
systemctl start ublk-cdi
at_exit systemctl stop ublk-cdi
in_cdi() { # NAME
	jq -e --arg name "$1" '.devices | any(.name == $name)' /run/cdi/org.ublk-disk.json
}
not_in_cdi() {
	! in_cdi "$1"
}
wait_until 20 in_cdi 1000-work || fail "there is no CDI file: $(journalctl -b -u ublk-cdi -n 5 --no-pager)"
assert_used "$n" "$file" "$text$node" "$(run --device org.ublk/disk=1000-work -- "$(uses "$link"); ls $node")" "by CDI"
m=$(add_device root null "{'size': <uint64 1048576>, 'name': <'work'>}")
wait_until 20 in_cdi 0-work || fail "a new device is not in the file"
delete_device root "$m"
wait_until 20 not_in_cdi 0-work || fail "the device that went stays in the file"
in_cdi 1000-work > /dev/null || fail "the file has lost the device that stays"

# --- In a container that runs already.
as_session alice podman run -d --name running "${BOX[@]}" "${BUS[@]}" box sleep 1000 > /dev/null
at_exit eval 'as_session alice podman rm -f -t 0 running > /dev/null 2>&1'
answer=$(as_session alice ublk-client open work -- podman exec --preserve-fds=1 running sh -c "$reads <&3")
assert_eq "$answer" "$text" "handed in"
assert_eq "$(as_session alice podman exec running ublk-client open "$n" -- sh -c "$reads <&3")" "$text" "opened from inside"
as_session alice podman rm -f -t 0 running > /dev/null

delete_device alice "$n"
systemctl stop ublk-cdi
[ ! -e /run/cdi/org.ublk-disk.json ] || fail "the CDI file outlives what keeps it right"
