#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A descriptor that is none, or is none for this, is refused and closed: an index below 0 or beyond the list, a directory, a socket, a
# pipe, an O_PATH descriptor, one that is closed at the other end, one opened for reading only where writing is wanted. A right one works.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
directory=${file%/*}
# What ublkd opens once, with its first device, is no leak.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
pid=$(ublkd_pid)
before=$(descriptors)

# python opens what the shell cannot, and passes it on: descriptors 10 to 15.
cat > "$directory/open" <<-'P'
	import fcntl, os, socket, sys
	file, directory, *command = sys.argv[1:]
	a, b = socket.socketpair()
	r, w = os.pipe()
	fds = (os.open(file, os.O_RDWR),                          # 10
	       os.open(file, os.O_RDONLY),                        # 11
	       os.open(directory, os.O_RDONLY | os.O_DIRECTORY),  # 12
	       os.open(file, os.O_PATH),                          # 13
	       a.detach(), r,                                     # 14, 15
	       os.open('/dev/null', os.O_RDWR),                   # 16
	       os.memfd_create('of no size'),                     # 17
	       os.pidfd_open(os.getpid()))                        # 18
	# Out of the way first: some of these have the numbers already.
	for number, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 40) for fd in fds], 10):
	    os.dup2(fd, number)
	os.execvp(command[0], command)
P
chmod 644 "$directory/open"
answer=$(
	as alice python3 "$directory/open" "$file" "$directory" "$BUS_CALL" --fd 10 --fd 11 --fd 12 --fd 13 --fd 14 --fd 15 --fd 16 \
		--fd 17 --fd 18 --script <<-E || true
			Manager AddDevice ('loop', {'file': <handle -1>})
			Manager AddDevice ('loop', {'file': <handle 9>})
			Manager AddDevice ('loop', {'file': <handle 2147483647>})
			Manager AddDevice ('loop', {'file': <handle -2147483648>})
			Manager AddDevice ('loop', {'file': <handle 1>})
			Manager AddDevice ('loop', {'file': <handle 2>})
			Manager AddDevice ('loop', {'file': <handle 3>})
			Manager AddDevice ('loop', {'file': <handle 4>})
			Manager AddDevice ('loop', {'file': <handle 5>})
			Manager AddDevice ('loop', {'file': <handle 6>})
			Manager AddDevice ('loop', {'file': <handle 7>})
			Manager AddDevice ('loop', {'file': <handle 8>})
			Manager AddDevice ('loop', {'file': <handle 0>, 'colour': <'red'>})
		E
)
mapfile -t answers <<< "$answer"
assert_eq "${#answers[@]}" 13 "the number of answers"
for i in 0 1 2 3; do
	assert_refusal InvalidArgument "file.*(index|descriptor)" "${answers[i]}"
done
assert_refusal InvalidArgument "read|writ" "${answers[4]}"
assert_refusal InvalidArgument "director" "${answers[5]}"
for i in {6..12}; do
	assert_refusal InvalidArgument . "${answers[i]}"
done
assert_nothing_left

# Without any descriptor in the message, index 0 is beyond the list; a socket or a file is no pidfd and no report.
refused InvalidArgument "file" as alice "$BUS_CALL" Manager AddDevice "('loop', {'file': <handle 0>})"
exec 8<> "$file"
coproc creator { as alice "$BUS_CALL" --hold Manager CreateDevice '(@a{sv} {},)'; }
read -r created <&"${creator[0]}"
n=${created#*/devices/}
n=${n%%\'*}
for option in "'server': <handle -1>" "'server': <handle 1>" "'server': <handle 0>" "'report': <handle -1>" "'report': <handle 0>"; do
	answer=$(as alice "$BUS_CALL" --fd 8 "$n" Start "({'size': <uint64 1048576>, $option},)" || true)
	assert_refusal "(InvalidArgument|InvalidState)" . "$answer"
done
exec 8>&-
eval "exec ${creator[1]}>&-"
wait "$creator_PID" || true
wait_until 5 _is_gone "$n" || fail "the device of a caller that left is still there"

# The right ones: opened for writing, and for reading only with a device that is so, too. The path stays unknown, the file may be gone.
answer=$(as alice python3 "$directory/open" "$file" "$directory" "$BUS_CALL" --fd 10 Manager AddDevice "('loop', {'file': <handle 0>})")
n=$(sed -E "s,.*/([0-9]+)'.*,\1," <<< "$answer")
assert_works alice "$n"
delete_device alice "$n"
answer=$(as alice python3 "$directory/open" "$file" "$directory" "$BUS_CALL" --fd 11 Manager AddDevice "('loop', {'file': <handle 0>, 'read-only': <true>})")
n=$(sed -E "s,.*/([0-9]+)'.*,\1," <<< "$answer")
assert_works alice "$n"
assert_eq "$(blockdev --getro "/dev/ublkb$n")" 1 "read-only"
delete_device alice "$n"

_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
wait_until 5 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$pid/fd")"
