#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# Each wrong option is refused with its own error, whose message names what is wrong, and leaves nothing: no node, object, unit or
# state file, no open descriptor in ublkd. A unknown key or a wrong type is never ignored.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 4M)
directory=${file%/*}
install -o alice -g alice -m 644 /dev/null "$directory/empty"
as alice truncate -s 300 "$directory/odd"
install -m 600 /dev/null "$directory/roots"
as alice ln -s loop-of-links "$directory/loop-of-links"
as alice mkfifo "$directory/fifo"
long=$(printf 'n%.0s' {1..65})
deep=/$(printf 'd%.0s' {1..4200})

# ERROR | what the message says | the call
cases=$(
	cat <<-E
		InvalidArgument|colour|Manager AddDevice ('loop', {'file': <'$file'>, 'colour': <'red'>})
		InvalidArgument|owner|Manager AddDevice ('loop', {'file': <'$file'>, 'owner': <uint32 0>})
		InvalidArgument|Size|Manager AddDevice ('null', {'Size': <uint64 1048576>})
		InvalidArgument|file|Manager CreateDevice ({'file': <'$file'>},)
		InvalidArgument|need-get-data|Manager AddDevice ('null', {'size': <uint64 1048576>, 'need-get-data': <true>})
		InvalidArgument|queues|Manager AddDevice ('loop', {'file': <'$file'>, 'queues': <'two'>})
		InvalidArgument|queues|Manager AddDevice ('loop', {'file': <'$file'>, 'queues': <int32 2>})
		InvalidArgument|depth|Manager AddDevice ('loop', {'file': <'$file'>, 'depth': <uint64 64>})
		InvalidArgument|size|Manager AddDevice ('null', {'size': <uint32 1048576>})
		InvalidArgument|size|Manager AddDevice ('null', {'size': <<uint64 1048576>>})
		InvalidArgument|read-only|Manager AddDevice ('loop', {'file': <'$file'>, 'read-only': <uint32 1>})
		InvalidArgument|file|Manager AddDevice ('loop', {'file': <['$file']>})
		InvalidArgument|file|Manager AddDevice ('loop', {'file': <b'$file'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <uint32 1>})
		InvalidArgument|queues.*0|Manager AddDevice ('loop', {'file': <'$file'>, 'queues': <uint32 0>})
		InvalidArgument|queues.*4097|Manager AddDevice ('loop', {'file': <'$file'>, 'queues': <uint32 4097>})
		InvalidArgument|depth.*0|Manager AddDevice ('loop', {'file': <'$file'>, 'depth': <uint32 0>})
		InvalidArgument|depth.*5000|Manager AddDevice ('loop', {'file': <'$file'>, 'depth': <uint32 5000>})
		InvalidArgument|depth.*5000|Manager CreateDevice ({'depth': <uint32 5000>},)
		InvalidArgument|max-io-size|Manager AddDevice ('loop', {'file': <'$file'>, 'max-io-size': <uint32 1000>})
		InvalidArgument|max-io-size|Manager AddDevice ('loop', {'file': <'$file'>, 'max-io-size': <uint32 5000>})
		InvalidArgument|max-io-size|Manager AddDevice ('loop', {'file': <'$file'>, 'max-io-size': <uint32 4294967295>})
		InvalidArgument|logical-block-size|Manager AddDevice ('loop', {'file': <'$file'>, 'logical-block-size': <uint32 1000>})
		InvalidArgument|logical-block-size|Manager AddDevice ('loop', {'file': <'$file'>, 'logical-block-size': <uint32 65536>})
		InvalidArgument|size.*0|Manager AddDevice ('null', {'size': <uint64 0>})
		InvalidArgument|size|Manager AddDevice ('null', {'size': <uint64 1000>})
		InvalidArgument|size|Manager AddDevice ('loop', {'file': <'$file'>, 'size': <uint64 1000>})
		InvalidArgument|size|Manager AddDevice ('loop', {'file': <'$file'>, 'size': <uint64 8388608>})
		InvalidArgument|size|Manager AddDevice ('null', {'size': <uint64 6144>, 'logical-block-size': <uint32 4096>})
		InvalidArgument|size|Manager AddDevice ('null', {'size': <uint64 18446744073709551104>})
		InvalidArgument|size|Manager AddDevice ('null', @a{sv} {})
		InvalidArgument|file|Manager AddDevice ('loop', @a{sv} {})
		InvalidArgument|file|Manager AddDevice ('null', {'size': <uint64 1048576>, 'file': <'$file'>})
		InvalidArgument|id|Manager AddDevice ('loop', {'file': <'$file'>, 'id': <uint32 4294967295>})
		InvalidArgument|id|Manager AddDevice ('loop', {'file': <'$file'>, 'id': <uint32 4294967294>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'a/b'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <''>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'$long'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'-rf'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'..'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'a b'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'a\\nb'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'größe'>})
		InvalidArgument|name|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'%n%s'>})
		InvalidArgument|name|Manager CreateDevice ({'name': <'a/b'>},)
		InvalidArgument|twice|Manager AddDevice ('loop', {'file': <'$file'>, 'name': <'a'>, 'name': <'b'>})
		InvalidArgument|target|Manager AddDevice ('floppy', {'file': <'$file'>})
		InvalidArgument|target|Manager AddDevice ('', {'file': <'$file'>})
		InvalidArgument|target|Manager AddDevice ('../loop', {'file': <'$file'>})
		InvalidArgument|target|Manager AddDevice ('loop\\n', {'file': <'$file'>})
		InvalidArgument|file.*absolute|Manager AddDevice ('loop', {'file': <'disk.img'>})
		InvalidArgument|file.*absolute|Manager AddDevice ('loop', {'file': <''>})
		InvalidArgument|file|Manager AddDevice ('loop', {'file': <'$deep'>})
		InvalidArgument|does not exist|Manager AddDevice ('loop', {'file': <'$directory/absent'>})
		InvalidArgument|not a directory|Manager AddDevice ('loop', {'file': <'$file/disk'>})
		InvalidArgument|director|Manager AddDevice ('loop', {'file': <'$directory'>})
		InvalidArgument|symbolic links|Manager AddDevice ('loop', {'file': <'$directory/loop-of-links'>})
		InvalidArgument|regular file|Manager AddDevice ('loop', {'file': <'$directory/fifo'>})
		InvalidArgument|regular file|Manager AddDevice ('loop', {'file': <'/dev/null'>})
		InvalidArgument|0 bytes|Manager AddDevice ('loop', {'file': <'$directory/empty'>})
		InvalidArgument|300 bytes|Manager AddDevice ('loop', {'file': <'$directory/odd'>})
		InvalidArgument|permission|Manager AddDevice ('loop', {'file': <'$directory/roots'>})
		InvalidArgument|permission|Manager AddDevice ('loop', {'file': <'/dev/nvme0n1'>})
		NotFound|absent|Manager GetDeviceByName ('absent', @a{sv} {})
		InvalidArgument|colour|Manager GetDeviceByName ('absent', {'colour': <'red'>})
		InvalidArgument|owner|Manager GetDeviceByName ('absent', {'owner': <'alice'>})
		org.freedesktop.DBus.Error.(InvalidArgs\|UnknownMethod)|.|Manager AddDevice ('loop',)
		org.freedesktop.DBus.Error.(InvalidArgs\|UnknownMethod)|.|Manager AddDevice (uint32 1, @a{sv} {})
		org.freedesktop.DBus.Error.(InvalidArgs\|UnknownMethod)|.|Manager AddDevice ('loop', {'file': '$file'})
		org.freedesktop.DBus.Error.UnknownMethod|.|Manager RemoveEverything ()
		org.freedesktop.DBus.Error.Unknown(Object\|Method)|.|4000000000 Delete (@a{sv} {},)
	E
)
# One connection for all: what the descriptors are counted against is ublkd's end of it, too.
# What ublkd opens once, with its first device, is no leak.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
before=$(descriptors)
answers=$(sed -E 's/^(\\.|[^|\\])*\|(\\.|[^|\\])*\|//' <<< "$cases" | as alice "$BUS_CALL" --script || true)
assert_eq "$(wc -l <<< "$answers")" "$(wc -l <<< "$cases")" "the number of answers"

wrong=0
while IFS= read -r -u 3 line && IFS= read -r -u 4 answer; do
	name=$(sed -E 's/^((\\.|[^|\\])*)\|.*/\1/; s/\\\|/|/g' <<< "$line")
	rest=$(sed -E 's/^(\\.|[^|\\])*\|//' <<< "$line")
	if ! problem=$(assert_refusal "$name" "${rest%%|*}" "$answer" 2>&1); then
		printf '%s\n    %s\n' "${rest#*|}" "$problem"
		wrong=$((wrong + 1))
	fi
done 3<<< "$cases" 4<<< "$answers"
[ "$wrong" = 0 ] || fail "$wrong of $(wc -l <<< "$cases") are not refused as they should be"

assert_nothing_left
_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 5 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$(ublkd_pid)/fd")"

# And nothing is broken: what was wrong above works when it is right.
n=$(add_loop alice "$file" ", 'name': <'${long:1}'>, 'depth': <uint32 4096>, 'logical-block-size': <uint32 4096>")
assert_works alice "$n"
delete_device alice "$n"
