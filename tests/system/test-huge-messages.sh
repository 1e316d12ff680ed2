#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# A message with 100,000 options, with one of 10 MB, or of the 32 MiB that the bus allows, is refused without being taken apart: soon,
# with little memory, and another user's call is not kept waiting by it. One without an answer, or a signal, is the same.
. "$(dirname "$0")/devices.sh"

directory=$(scratch alice)
start_ublkd
pid=$(ublkd_pid)
python3 - "$directory" <<-'P'
	import sys
	with open(sys.argv[1] + '/many', 'w') as f:
	    f.write("('null', {" + ', '.join(f"'option{i}': <uint32 {i}>" for i in range(100000)) + '})')
	with open(sys.argv[1] + '/long', 'w') as f:
	    f.write("('null', {'size': <uint64 1048576>, 'name': <'" + 'x' * 10000000 + "'>})")
	with open(sys.argv[1] + '/key', 'w') as f:
	    f.write("('null', {'size': <uint64 1048576>, '" + 'k' * 10000000 + "': <true>})")
	with open(sys.argv[1] + '/target', 'w') as f:
	    f.write("('" + 't' * 10000000 + "', @a{sv} {})")
P
for message in many long key target; do
	since=$(milliseconds)
	answer=$(as alice "$BUS_CALL" Manager AddDevice - < "$directory/$message" || true)
	assert_within 30000 "$since" "the answer to '$message'"
	[ "${#answer}" -lt 4096 ] || fail "the answer to '$message' has ${#answer} bytes"
	assert_refusal InvalidArgument . "$answer"
done
assert_nothing_left

# The worst are the smallest values: 30 MB of them, which the bus lets through, are 2 GB when they are taken apart, and 16 seconds' work.
as alice python3 -c '
import os, socket, struct, sys

def aligned(b, n):
    return b + bytes(-len(b) % n)

def field(code, kind, text):
    return bytes([code, 1]) + kind + b"\0" + struct.pack("<I", len(text)) + text + b"\0"

def message(kind, flags, serial, fields, body=b""):
    head = b""
    for one in fields:
        head = aligned(head, 8) + one
    return aligned(struct.pack("<cBBBIII", b"l", kind, flags, 1, len(body), serial, len(head)) + head, 8) + body

s = socket.socket(socket.AF_UNIX)
s.connect("/run/dbus/system_bus_socket")
s.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
s.recv(4096)
s.sendall(b"BEGIN\r\n" + message(1, 0, 1, [field(1, b"o", b"/org/freedesktop/DBus"), field(2, b"s", b"org.freedesktop.DBus"),
                                                   field(3, b"s", b"Hello"), field(6, b"s", b"org.freedesktop.DBus")]))
s.recv(4096)
array = b"\1y\0x" * 2500000
body = struct.pack("<I", len(array)) + array
head = [field(1, b"o", b"/org/ublk1/Manager"), field(2, b"s", b"org.ublk1.Manager"), field(3, b"s", b"AddDevice"),
        field(6, b"s", b"org.ublk1"), bytes([8, 1]) + b"g\0" + b"\2av\0"]
s.sendall(message(4, 1, 2, head, body))
s.sendall(message(1, 1, 3, head, body))
s.sendall(message(1, 0, 4, head, body))
answer = s.recv(4096)
while b"Error" not in answer:
    answer += s.recv(4096)
assert b"too large" in answer, answer
' &
slowest=0
while [ -n "$(jobs -r)" ]; do
	since=$(milliseconds)
	as bob busctl get-property org.ublk1 /org/ublk1/Manager org.ublk1.Manager Version > /dev/null
	took=$(($(milliseconds) - since))
	slowest=$((took > slowest ? took : slowest))
done
wait $!
echo "bob waited at most $slowest ms; ublkd had at most $(ublkd_peak) KiB"
[ "$slowest" -lt 20000 ] || fail "bob waited $slowest ms"
[ "$(ublkd_peak)" -lt 65536 ] || fail "ublkd had $(ublkd_peak) KiB"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
