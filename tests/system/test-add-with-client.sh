#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An ordinary user (alice, by the shipped rule for her group) makes a device over her own file with ublk-client, finds it by each of
# its names, uses it and deletes it. The kernel itself says that the device is unprivileged and hers, and its server runs as she.
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 16M)
printed=$(as alice ublk-client add -t loop -f "$file" --name disk1)

link=/dev/disk/by-ublk/1000-disk1
[ -L "$link" ] || fail "$link is not there when the command has ended"
node=$(readlink -f "$link")
n=${node#/dev/ublkb}
[[ $n =~ ^[0-9]+$ ]] || fail "$link leads to $node"
assert_eq "$printed" "$node" "the output"

assert_eq "$(kernel_says "$n" unprivileged)" 1 "the kernel's UNPRIVILEGED_DEV"
assert_eq "$(kernel_says "$n" uid):$(kernel_says "$n" gid)" 1000:1000 "the kernel's owner"
assert_eq "$(kernel_says "$n" state)" 1 "the kernel's state"
assert_eq "$(stat -c '%U:%G %a' "$node" "/dev/ublkc$n" | uniq)" "alice:alice 600" "the nodes"
assert_eq "$(blockdev --getsize64 "$node")" 16777216 "the size"
assert_works alice "$n"

pid=$(server_pid "$n")
assert_eq "$(awk '/^(Uid|Gid):/ { print $2, $3, $4, $5 }' "/proc/$pid/status" | uniq)" "1000 1000 1000 1000" "the server's ids"
assert_eq "$(awk '/^Cap(Inh|Prm|Eff|Amb)/ { print $2 }' "/proc/$pid/status" | uniq)" 0000000000000000 "the server's capabilities"
assert_eq "$(awk '/^NoNewPrivs/ { print $2 }' "/proc/$pid/status")" 1 "NoNewPrivs of the server"
grep -q "^0::/user.slice/user-1000.slice/ublk-server-$n.service" "/proc/$pid/cgroup" ||
	fail "the server runs in $(cat "/proc/$pid/cgroup"), not in its user's slice"

# What she wrote through the device is in the file.
echo "written by alice" | as alice dd of="$node" bs=4096 seek=1 conv=fsync,sync status=none
assert_eq "$(dd if="$file" bs=4096 skip=1 count=1 status=none | head -n 1)" "written by alice" "the file"

as alice ublk-client list | grep disk1 | grep -qw "$node" || fail "list does not show it: $(as alice ublk-client list)"
assert_eq "$(as alice ublk-client list --json | jq -r '.devices[] | select(.name == "disk1") | .block_device')" "$node" "list --json"
for word in "$n" "$node" "/dev/ublkc$n" disk1 "$link"; do
	as alice ublk-client info "$word" | grep -q disk1 || fail "info $word: $(as alice ublk-client info "$word" 2>&1)"
done

as alice ublk-client del -n "$n"
assert_gone "$n"

# A program learns what it has made, and what it has deleted, without asking again.
made=$(as alice ublk-client add -t loop -f "$file" --name disk2 --json)
jq -e --arg file "$file" '.version == 1 and (.devices | length == 1) and
	(.devices[0] | .name == "disk2" and .state == "live" and .size == 16777216 and .backing_file == $file and .server_pid > 1)' \
	<<< "$made" > /dev/null || fail "add --json: $made"
n=$(jq '.devices[0].id' <<< "$made")
assert_eq "$(as alice ublk-client info --json disk2)" "$made" "info --json and add --json"
assert_eq "$(as alice ublk-client del --json disk2 | jq -r '.devices[] | .block_device')" "/dev/ublkb$n" "del --json"
assert_gone "$n"
