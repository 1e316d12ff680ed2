#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A server sees no mount, so none can be left to it. A file system on its own device is mounted where `serve` was called, and `serve` and
# the server, whom alone it is left to, are killed: both end (a server that had to unmount its own device would hang for ever), and the
# device goes. One that is unmounted on the host is unmounted and written back, whoever's server was started in the meantime. Where user
# namespaces are forbidden, `serve` warns.
. "$(dirname "$0")/devices.sh"

not_instrumented "its server writes files to the end"

directory=$(scratch alice)
mnt=$(mktemp -d)
at_exit rmdir "$mnt"
at_exit eval "umount -l $mnt 2> /dev/null || true"

new_image() { # NAME MKFS…
	truncate -s 64M "$directory/$1"
	"${@:2}" "$directory/$1" > /dev/null
	chown alice: "$directory/$1"
}
# serve NAME : as alice, in a mount namespace from which no mount reaches the host. Sets client, n and server.
serve() {
	unshare --mount --propagation private setpriv --reuid=alice --regid=alice --init-groups \
		ublk-client serve -t loop -f "$directory/$1" > "$directory/said" 2>&1 < /dev/null &
	client=$!
	wait_until 60 grep -q '^/dev/ublkb' "$directory/said" || fail "serve: $(cat "$directory/said")"
	n=$(sed -n 's,^/dev/ublkb,,p' "$directory/said")
	server=$(server_pid "$n")
}
# write_data [COMMAND…] : mounts the device by way of that command and writes 16 MiB, which nobody synchronizes
write_data() {
	"$@" mount "/dev/ublkb$n" "$mnt"
	"$@" dd if="$directory/data" of="$mnt/data" bs=1M status=none
}
_ended() { # PID : or a zombie, since its parent, this shell, has not waited; a process of which a thread is left is none
	local tasks

	tasks=$(ls "/proc/$1/task" 2> /dev/null) || return 0
	[ "$tasks" = "$1" ] && grep -q '^State:.*zombie' "/proc/$1/status"
}
assert_both_end() { # WHAT
	local pid

	for pid in "$server" "$client"; do
		wait_until 60 _ended "$pid" || fail "$1: process $pid hangs: $(cat /proc/"$pid"/task/*/stack)"
	done
	wait "$client" || true
	wait_for_gone 60 "/dev/ublkb$n" "/dev/ublkc$n"
}

head -c 16M /dev/urandom > "$directory/data"

# What becomes of data that nobody has synchronized is another question: nothing hangs. (vfat: other file systems call it an error of the
# kernel's when their disk is gone.)
new_image first mkfs.vfat
serve first
write_data nsenter -t "$client" -m
kill -KILL "$client"
assert_both_end "serve is killed"

new_image second mkfs.vfat
serve second
write_data nsenter -t "$client" -m
# Nothing can be written back any more, and the server is the last to end.
kill -STOP "$server"
kill -KILL "$client"
kill -KILL "$server"
assert_both_end "both are killed"

# On the host: another server is started while the device is mounted.
new_image managed mkfs.ext4 -q
n=$(add_loop alice "$directory/managed")
write_data
other=$(add_loop alice "$(backing_file alice 1M)")
umount "$mnt"
[ ! -e "/sys/fs/ext4/ublkb$n" ] || fail "somebody still has the file system mounted"
delete_device alice "$n"
delete_device alice "$other"
debugfs -R 'cat /data' "$directory/managed" 2> /dev/null | cmp - "$directory/data"

# Forbidden: it works without, and says what that means.
allowed=$(sysctl -n user.max_user_namespaces)
at_exit sysctl -q "user.max_user_namespaces=$allowed"
sysctl -q user.max_user_namespaces=0
new_image third mkfs.vfat
serve third
grep -q 'no mount namespace of its own' "$directory/said" || fail "no warning: $(cat "$directory/said")"
delete_device alice "$n"
wait "$client" || true
