#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A message with 100,000 options, or with one option of megabytes, is refused in bounded time, and another user's call is not kept
# waiting by it.
. "$(dirname "$0")/devices.sh"

directory=$(scratch alice)
start_ublkd
pid=$(ublkd_pid)
python3 - "$directory" <<-'P'
	import sys
	with open(sys.argv[1] + '/many', 'w') as f:
	    f.write("('null', {" + ', '.join(f"'option{i}': <uint32 {i}>" for i in range(100000)) + '})')
	with open(sys.argv[1] + '/long', 'w') as f:
	    f.write("('null', {'size': <uint64 1048576>, 'name': <'" + 'x' * 2000000 + "'>})")
	with open(sys.argv[1] + '/key', 'w') as f:
	    f.write("('null', {'size': <uint64 1048576>, '" + 'k' * 2000000 + "': <true>})")
	with open(sys.argv[1] + '/target', 'w') as f:
	    f.write("('" + 't' * 2000000 + "', @a{sv} {})")
P
for message in many long key target; do
	since=$(milliseconds)
	answer=$(as alice "$BUS_CALL" Manager AddDevice - < "$directory/$message" || true)
	assert_within 30000 "$since" "the answer to '$message'"
	[ "${#answer}" -lt 4096 ] || fail "the answer to '$message' has ${#answer} bytes"
	assert_refusal InvalidArgument . "$answer"
done
assert_nothing_left

# Once more, and bob in between.
as alice "$BUS_CALL" Manager AddDevice - < "$directory/many" > /dev/null &
slowest=0
while [ -n "$(jobs -r)" ]; do
	since=$(milliseconds)
	as bob busctl get-property org.ublk1 /org/ublk1/Manager org.ublk1.Manager Version > /dev/null
	took=$(($(milliseconds) - since))
	slowest=$((took > slowest ? took : slowest))
done
wait || true
echo "bob waited at most $slowest ms"
[ "$slowest" -lt 20000 ] || fail "bob waited $slowest ms"
assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
