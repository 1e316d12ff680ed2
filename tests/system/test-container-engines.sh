#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# Podman as root and Docker: what their containers' users get of a user's device (the table in docs/containers.md), and a server in one.
# Nothing there is more than the kernel would give: a root without CAP_SYS_ADMIN neither opens the device nor makes one.
# timeout: 900
. "$(dirname "$0")/containers.sh"

file=$(backing_file alice 8M)
n=$(add_loop alice "$file" ", 'name': <'work'>")
node=/dev/ublkb$n
text="the first sector of a disk of alice"
gid=$(getent group ublk | cut -d: -f3)

run() { # OPTION… -- LINE
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	"$engine" run --rm "${BOX[@]}" "${options[@]}" box sh -c "$2" 2>&1
}
gets() { # WHAT OPTION…
	local what=$1
	shift
	assert_used "$n" "$file" "$text" "$(run --device "$node" "$@" -- "$(uses "$node")")" "$engine, $what"
}
# By the bus, without a node; the engine's device policy allows no opening here.
opens() { # WHAT OPTION…
	local what=$1
	shift
	assert_used "$n" "$file" "$text" "$(run "${BUS[@]}" "$@" -- "ublk-client open $n -- sh -c '$USES_DESCRIPTOR'")" \
		"$engine, $what, over the bus"
}
# Podman alone hands on an open one.
is_handed() { # WHAT OPTION…
	local what=$1
	shift
	assert_used "$n" "$file" "$text" "$(as root ublk-client open alice/work -- podman run --rm "${BOX[@]}" --preserve-fds=1 \
		"$@" box sh -c "$USES_DESCRIPTOR" 2>&1)" "podman, $what, handed on"
}
refuses() { # WHAT OPTION…
	local what=$1 answer
	shift
	answer=$(run --device "$node" "$@" -- "dd if=$node of=/dev/null count=1" || true)
	grep -E "Permission denied|Operation not permitted" <<< "$answer" > /dev/null || fail "$engine, $what: $answer"
}

# What alice may do in a container of root's, and root in it may not.
check() {
	local rule

	refuses "root"
	gets "privileged root" --privileged
	gets "alice" --user 1000:1000
	refuses "alice in another group" --user 1000:65534
	answer=$(run "${BUS[@]}" --security-opt "seccomp=$profile" -- "ublk-client serve -t null --size 1M" || true)
	grep -F "not an administrator" <<< "$answer" > /dev/null || fail "$engine, root serves: $answer"
	answer=$(run "${BUS[@]}" -- "ublk-client open $n -- sh -c '$USES_DESCRIPTOR'" || true)
	grep -F "not an administrator" <<< "$answer" > /dev/null || fail "$engine, root opens: $answer"
	opens "privileged root" --privileged
	opens "alice" --user 1000:1000
	answer=$(run "${BUS[@]}" --user 1000:1000 -- "ublk-client open work -- sh -c 'head -c ${#text} <&3'")
	assert_eq "$answer" "$text" "$engine, alice by descriptor, by its name"
	opens "alice in another group" --user 1000:65534

	# A server of alice's: the engine's device policy is in its way, by a number that only this boot has.
	serve=("${BUS[@]}" --security-opt "seccomp=$profile" --user 1000:1000 --group-add "$gid" -v "$second:/data/disk.img")
	answer=$(run "${serve[@]}" -- "ublk-client serve -t loop -f /data/disk.img" || true)
	grep -F "device policy forbids it" <<< "$answer" > /dev/null || fail "$engine, a server without the rule: $answer"
	rule="c $(awk '$2 == "ublk-char" { print $1 }' /proc/devices):* rw"
	"$engine" run --rm --name serves "${BOX[@]}" "${serve[@]}" --device-cgroup-rule "$rule" box \
		ublk-client serve -t loop -f /data/disk.img --name "by-$engine" > "$output" 2>&1 &
	container=$!
	wait_until 60 has_device alice "by-$engine" || fail "$engine: no device: $(cat "$output")"
	assert_works alice "$(number_of alice "by-$engine")"
	"$engine" rm -f serves > /dev/null 2>&1
	wait "$container" || true
	wait_until 20 has_no_device alice "by-$engine" || fail "$engine: the device outlives its container"
}

second=$(backing_file alice 4M)
output=$(scratch alice)/output
profile=$(seccomp_profile alice)

engine=podman
box_image root podman
check
# In a user namespace, its root is who the map says.
gets "alice, mapped to root" --uidmap 0:1000:1 --uidmap 1:100000:65535 --gidmap 0:1000:1 --gidmap 1:100000:65535
refuses "root, mapped to nobody's id" --uidmap 0:200000:65536 --gidmap 0:200000:65536
opens "alice, mapped to root" --uidmap 0:1000:1 --uidmap 1:100000:65535 --gidmap 0:1000:1 --gidmap 1:100000:65535
is_handed "root"
is_handed "alice" --user 1000:1000
is_handed "alice in another group" --user 1000:65534
is_handed "root, mapped to nobody's id" --uidmap 0:200000:65536 --gidmap 0:200000:65536

if ! command -v docker > /dev/null || ! command -v dockerd > /dev/null; then
	delete_device alice "$n"
	skip "there is no docker"
fi
folder=$(mktemp -d /var/tmp/ublk-docker.XXXXXX)
dockerd --bridge=none --iptables=false --ip6tables=false --data-root="$folder/data" --exec-root="$folder/exec" \
	--pidfile="$folder/pid" > "$folder/log" 2>&1 &
daemon=$!
end_docker() {
	kill "$daemon"
	wait "$daemon"
	rm -rf "$folder"
}
at_exit end_docker
wait_until 60 docker info || fail "dockerd: $(tail -n 5 "$folder/log")"
engine=docker
box_image root docker
check
delete_device alice "$n"
