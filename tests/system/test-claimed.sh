#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# `del` and `stop` leave alone what somebody has claimed though no mount of it is seen: one in another mount namespace, a second device
# over it, a program. A server that does not answer does not hold them up.
. "$(dirname "$0")/devices.sh"

n=$(add_loop alice "$(backing_file alice 16M)")
node=/dev/ublkb$n
mkfs.ext4 -q "$node"

assert_claimed() { # WHAT
	local verb answer

	for verb in del stop; do
		answer=$(expect_fail ublk-client "$verb" "$n")
		grep -q "$node is claimed by something that is not seen here" <<< "$answer" || fail "$verb, $1: $answer"
	done
	assert_eq "$(property "$n" State)" live "the state"
}

# So that they have it when they are waited for.
has() { # COMMAND…
	mkfifo "$node_directory/ready"
	"$@" &
	holder=$!
	read -r < "$node_directory/ready"
	rm "$node_directory/ready"
}

node_directory=$(mktemp -d)
at_exit rm -rf "$node_directory"
export node node_directory
has unshare --mount --propagation private sh -ec 'mount "$node" /mnt; echo ready > "$node_directory/ready"; exec sleep 1000'
assert_claimed "mounted in another namespace"
kill "$holder"
# The namespace is taken apart in the background: that is waited for.
ublk-client stop --wait "$n"
assert_gone "$n"

# alice's own, over which she has another one: she may ask the kernel, too.
n=$(add_loop alice "$(backing_file alice 16M)")
node=/dev/ublkb$n
upper=$(add_loop alice "$node")
answer=$(expect_fail as alice ublk-client del "$n")
grep -q "$node is claimed by something that is not seen here" <<< "$answer" || fail "del under another device: $answer"
assert_claimed "under another device"
as alice ublk-client del "$upper"
# Somebody who only has it open is no reason.
sleep 1000 < "$node" &
opener=$!
_has_it_open() {
	[ "$(readlink "/proc/$opener/fd/0")" = "$node" ]
}
wait_until 20 _has_it_open || fail "nobody opens $node"
as alice ublk-client stop "$n"
[ ! -e "$node" ] || fail "$node is still there"
kill "$opener"
wait_until 10 _is_gone "$n" || assert_gone "$n"

# The server is stopped, and somebody's close waits for it: not for long.
n=$(add_loop alice "$(backing_file alice 16M)")
kill -STOP "$(server_pid "$n")"
dd if=/dev/zero of="/dev/ublkb$n" bs=64K count=4 conv=nocreat,notrunc status=none 2> /dev/null &
closer=$!
sleep 0.5
since=$(milliseconds)
ublk-client del "$n"
assert_within 9000 "$since" "del of a device whose server is stopped"
assert_gone "$n"
wait "$closer" || true
