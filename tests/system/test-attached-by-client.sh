#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `ublk-client serve` runs the server itself, in the foreground and as the user, and takes the device away when it ends, by Ctrl-C or
# otherwise. Also in a user namespace, where AddDevice is refused with the hint to do so.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 8M)
directory=${file%/*}
namespace=(unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc)

_is_live() {
	[ "$(property 4 State)" = live ]
}
check() { # WHAT SIGNAL PREFIX…
	local what=$1 signal=$2 runner pid
	shift 2
	as alice "$@" ublk-client serve -t loop -f "$file" --name served -n 4 > "$directory/output" 2>&1 &
	runner=$!
	wait_until 20 _is_live || fail "$what: the device does not get live: $(cat "$directory/output")"
	assert_works alice 4
	assert_eq "$(readlink -f /dev/disk/by-ublk/1000-served)" /dev/ublkb4 "$what: the link"
	assert_eq "$(systemctl list-units --all --plain --no-legend 'ublk-server-4*')" "" "$what: units"
	pid=$(server_pid 4)
	assert_eq "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" 1000 "$what: the server's user"
	as alice fio --name=serve --filename=/dev/ublkb4 --direct=1 --rw=randwrite --bs=4k --offset=1M --size=2M --ioengine=psync \
		--verify=crc32c --verify_fatal=1 > "$directory/fio" 2>&1 || fail "$what: $(cat "$directory/fio")"
	pkill "-$signal" -u alice -x ublk-client || fail "$what: ublk-client is not there"
	wait "$runner" || true
	wait_until 3 _is_gone 4 || assert_gone 4
	wait_until 3 _has_ended "$pid" || fail "$what: the server is still there"
}
_has_ended() {
	! kill -0 "$1"
}
check "on the host, Ctrl-C" INT
check "on the host, killed" KILL
check "in namespaces" TERM "${namespace[@]}"

answer=$(expect_fail as alice "${namespace[@]}" ublk-client add -t loop -f "$file" -n 4)
grep -q serve <<< "$answer" || fail "add in a mount namespace says '$answer'"
assert_gone 4
