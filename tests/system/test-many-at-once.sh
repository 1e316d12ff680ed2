#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Twelve calls of AddDevice at once make twelve devices, each whole when its call returns; twelve calls of Delete at once take them away.
. "$(dirname "$0")/devices.sh"

COUNT=12
directory=$(scratch alice)
one() { # INDEX
	local file=$directory/disk$1 n

	truncate -s 4M "$file"
	printf 'disk %s' "$1" | dd of="$file" conv=notrunc status=none
	chown alice: "$file"
	n=$(add_loop alice "$file" ", 'name': <'disk$1'>")
	assert_eq "$(stat -c '%U:%G %a' "/dev/ublkb$n" "/dev/ublkc$n" | uniq)" "alice:alice 600" "the nodes"
	assert_eq "$(first_text alice "$n")" "disk $1" "the first sector of /dev/ublkb$n"
	assert_eq "$(readlink -f "/dev/disk/by-ublk/1000-disk$1")" "/dev/ublkb$n" "the link"
	echo "$n" > "$directory/number$1"
}
all() { # FUNCTION
	local i pids=()
	for ((i = 0; i < COUNT; i++)); do
		"$1" "$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
}
since=$(milliseconds)
all one
assert_within 90000 "$since" "making $COUNT devices"
assert_eq "$(cat "$directory"/number* | sort -u | wc -l)" "$COUNT" "different numbers"
assert_eq "$(systemctl list-units --plain --no-legend 'ublk-server-*' | grep -c running)" "$COUNT" "running units"

delete() { # INDEX
	delete_device alice "$(< "$directory/number$1")"
}
since=$(milliseconds)
all delete
assert_within 90000 "$since" "deleting $COUNT devices"
