#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A descriptor that is none, or is none for this, is refused and closed: an index below 0 or beyond the list, a directory, a socket, a
# pipe, an O_PATH descriptor, a pidfd, an eventfd, a file of /proc, one opened for reading only where writing is wanted, more of them
# than a call has use for. A device cannot be on itself. A right one works, a memfd and another device of the user's too.
. "$(dirname "$0")/devices.sh"

configure <<'E'
[timeouts]
stop=3
E
file=$(backing_file alice 4M)
directory=${file%/*}
# What ublkd opens once, with its first device, is no leak.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
pid=$(ublkd_pid)
before=$(descriptors)

# python opens what the shell cannot, and passes it on as descriptor 10.
cat > "$directory/open" <<-'P'
	import ctypes, os, socket, sys
	kind, file, *command = sys.argv[1:]
	def memfd(size):
	    fd = os.memfd_create('memory')
	    os.truncate(fd, size)
	    return fd
	fd = {
	    'right': lambda: os.open(file, os.O_RDWR),
	    'reading': lambda: os.open(file, os.O_RDONLY),
	    'writing': lambda: os.open(file, os.O_WRONLY),
	    'directory': lambda: os.open(os.path.dirname(file), os.O_RDONLY | os.O_DIRECTORY),
	    'path': lambda: os.open(file, os.O_PATH),
	    'socket': lambda: socket.socket(socket.AF_UNIX).detach(),
	    'pipe': lambda: os.pipe()[0],
	    'empty memfd': lambda: memfd(0),
	    'memfd': lambda: memfd(1 << 20),
	    'pidfd': lambda: os.pidfd_open(os.getpid()),
	    'eventfd': lambda: ctypes.CDLL(None).eventfd(0, 0),
	    'proc': lambda: os.open('/proc/self/status', os.O_RDONLY),
	    'proc memory': lambda: os.open('/proc/self/mem', os.O_RDWR),
	}[kind]()
	os.dup2(fd, 10)
	os.execvp(command[0], command)
P
chmod 644 "$directory/open"

# add KIND [MORE [ARGUMENT…]] : AddDevice over descriptor $index (0) of the message; MORE as for add_loop, ARGUMENT is bus-call's.
add() {
	local kind=$1 more=${2:-}

	shift $(($# < 2 ? $# : 2))
	as alice python3 "$directory/open" "$kind" "$file" "$BUS_CALL" --fd 10 "$@" Manager AddDevice \
		"('loop', {'file': <handle ${index:-0}>$more})" || true
}
number() { # ANSWER
	[ "${1%% *}" = ok ] || fail "AddDevice: $1"
	sed -E "s,.*/([0-9]+)'.*,\1," <<< "$1"
}

for index in -1 1 9 2147483647 -2147483648; do
	assert_refusal InvalidArgument "file.*descriptor" "$(add right)"
done
unset index
assert_refusal InvalidArgument "read|writ" "$(add reading)"
assert_refusal InvalidArgument "director" "$(add directory)"
for kind in writing path socket pipe 'empty memfd' pidfd eventfd proc 'proc memory'; do
	answer=$(add "$kind")
	echo "$kind: $answer"
	assert_refusal InvalidArgument . "$answer"
done
assert_refusal InvalidArgument colour "$(add right ", 'colour': <'red'>")"
# The bus stops what no method has a use for.
assert_refusal AccessDenied . "$(add right "" --fd 10)"
assert_nothing_left

# Without any descriptor in the message, index 0 is beyond the list; a socket or a file is no pidfd and no report.
refused InvalidArgument "file" as alice "$BUS_CALL" Manager AddDevice "('loop', {'file': <handle 0>})"
exec 8<> "$file"
coproc creator { as alice "$BUS_CALL" --hold Manager CreateDevice '(@a{sv} {},)'; }
id=$creator_PID input=${creator[1]}
read -r created <&"${creator[0]}"
n=${created#*/devices/}
n=${n%%\'*}
for option in "'server': <handle -1>" "'server': <handle 1>" "'server': <handle 0>" "'report': <handle -1>" "'report': <handle 0>"; do
	answer=$(as alice "$BUS_CALL" --fd 8 "$n" Start "({'size': <uint64 1048576>, $option},)" || true)
	assert_refusal "(InvalidArgument|InvalidState)" . "$answer"
done
exec 8>&-
# Nor does ublkd ask a file what it is whose owner has arranged that the answer never comes.
at_exit sysctl -qw vm.unprivileged_userfaultfd=0
sysctl -qw vm.unprivileged_userfaultfd=1
refused InvalidArgument "not a pidfd" as alice "$HELPERS/held-epoll" "$BUS_CALL" --fd 10 "$n" Start \
	"({'size': <uint64 1048576>, 'server': <handle 0>},)"
eval "exec $input>&-"
wait "$id" || true
wait_until 5 _is_gone "$n" || fail "the device of a caller that left is still there"

# The right ones: opened for writing, and for reading only with a device that is so, too. The path stays unknown, the file may be gone.
n=$(number "$(add right)")
assert_works alice "$n"
delete_device alice "$n"
n=$(number "$(add reading ", 'read-only': <true>")")
assert_works alice "$n"
assert_eq "$(blockdev --getro "/dev/ublkb$n")" 1 "read-only"
delete_device alice "$n"
n=$(number "$(add memfd)")
assert_eq "$(blockdev --getsize64 "/dev/ublkb$n")" 1048576 "the size of a device over a memfd"
delete_device alice "$n"

# A device on itself: there is no node before there is a server. On another device it works.
refused InvalidArgument "does not exist" as alice "$BUS_CALL" Manager AddDevice "('loop', {'file': <'/dev/ublkb77'>, 'id': <uint32 77>})"
lower=$(add_loop alice "$file")
upper=$(add_loop alice "/dev/ublkb$lower")
assert_works alice "$upper"
delete_device alice "$upper"
# Nor does a device come under what is open of itself: its number is nobody's as long as the old node is open.
coproc holder { as alice bash -c "exec 10<> /dev/ublkb$lower; echo open; read -r _
	'$BUS_CALL' --fd 10 Manager AddDevice \"('loop', {'file': <handle 0>, 'id': <uint32 $lower>})\"; read -r _"; }
id=$holder_PID input=${holder[1]}
read -r _ <&"${holder[0]}"
refused Busy "open" as alice "$BUS_CALL" "$lower" Delete '(@a{sv} {},)'
echo >&"$input"
read -r answer <&"${holder[0]}"
assert_refusal Exists "taken" "$answer"
eval "exec $input>&-"
wait "$id" || true
wait_until 30 _is_gone "$lower" || assert_gone "$lower"

_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
wait_until 5 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$pid/fd")"
