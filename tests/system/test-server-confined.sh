#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A server that serves has locked itself in, managed or attached: every thread of it has a system call filter, can gain no privilege and
# has none, not even in the user namespace that it made; it sees an empty directory in place of all file systems; its user can neither
# look into it nor get a core dump of it. It says of no stage that it is missing. And it works.
. "$(dirname "$0")/devices.sh"

not_instrumented "its server writes files to the end"

file=$(backing_file alice 16M)
said=${file%/*}/said

status_of() { # DIRECTORY KEY
	sed -n "s/^$2:[[:space:]]*//p" "$1/status"
}

assert_confined() { # NUMBER
	local server task key

	server=$(server_pid "$1")
	for task in /proc/"$server"/task/*; do
		assert_eq "$(status_of "$task" Seccomp)" 2 "$task: Seccomp"
		assert_eq "$(status_of "$task" NoNewPrivs)" 1 "$task: NoNewPrivs"
		for key in CapInh CapPrm CapEff CapAmb; do
			assert_eq "$(status_of "$task" $key)" 0000000000000000 "$task: $key"
		done
	done
	assert_eq "$(ls -A "/proc/$server/root/")" "" "what the server sees"
	[ "$(readlink "/proc/$server/ns/mnt")" != "$(readlink /proc/1/ns/mnt)" ] || fail "the host's mounts"
	grep -q '^Max core file size *0 *0 ' "/proc/$server/limits" || fail "core dumps: $(cat "/proc/$server/limits")"
	expect_fail as alice cat "/proc/$server/environ" > /dev/null
	expect_fail as alice ls "/proc/$server/fd" > /dev/null
}

works() { # NUMBER
	assert_works alice "$1"
	as alice dd if=/dev/zero of="/dev/ublkb$1" bs=64k count=64 seek=1 oflag=direct conv=fsync status=none
	as alice /usr/sbin/blkdiscard -o 1M -l 1M "/dev/ublkb$1"
	as alice /usr/sbin/blkdiscard -z -o 2M -l 1M "/dev/ublkb$1"
}

n=$(add_loop alice "$file" ", 'queues': <uint32 2>")
server=$(server_pid "$n")
assert_confined "$n"
works "$n"
delete_device alice "$n"
_said() {
	journalctl -q "_PID=$server" -o cat | grep -e "$1"
}
wait_until 20 _said 'backing file' || fail "the server's log does not come"
! _said '^ublk-server: no ' || fail "a stage is missing"

serve() { # COMMAND… : by way of which it is called
	"$@" ublk-client serve -t loop -f "$file" > "$said" 2>&1 < /dev/null &
	client=$!
	wait_until 60 grep -q '^/dev/ublkb' "$said" || fail "serve: $(cat "$said")"
	n=$(sed -n 's,^/dev/ublkb,,p' "$said")
}
serve as alice
assert_confined "$n"
works "$n"
delete_device alice "$n"
wait "$client"
! grep '^ublk-server: no ' "$said" || fail "a stage is missing"

# Root's server needs no user namespace for that and has what the driver may ask of it.
serve env
server=$(server_pid "$n")
assert_eq "$(ls -A "/proc/$server/root/")" "" "what root's server sees"
assert_eq "$(readlink "/proc/$server/ns/user")" "$(readlink /proc/1/ns/user)" "the user namespace of root's server"
assert_eq "$(status_of "/proc/$server" Seccomp)" 2 "Seccomp of root's server"
delete_device root "$n"
wait "$client"
! grep '^ublk-server: no ' "$said" || fail "a stage is missing in root's server"
