#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# What examples/ shows how to do works as it says, for alice: the device is made, used, followed and deleted, and what goes wrong is said
# by ublkd's own words and a status.
. "$(dirname "$0")/devices.sh"

examples=$(realpath "$(dirname "$0")/../../examples")
file=$(backing_file alice 16M)
said=${file%/*}/said

# ends STATUS TEXT USER COMMAND… : the example ends with that status, and says that.
ends() {
	local expected=$1 text=$2 status=0
	shift 2

	as "$@" > "$said" 2>&1 || status=$?
	assert_eq "$status" "$expected" "the status of $* ($(cat "$said"))"
	grep -qE "$text" "$said" || fail "$* says: $(cat "$said")"
}

# --- Used, with the command's own status.
ends 7 "the first sector of a disk of alice" alice "$examples/with-image.sh" "$file" \
	sh -c 'dd if="$DISK" bs=4096 count=1 iflag=direct status=none | tr -d "\0"; exit 7'
assert_eq "$(leftovers)" "" "what with-image.sh leaves"

ends 137 "^16777216 bytes, clean" alice "$examples/with-disk.py" 16M sh -ec '
	/usr/sbin/mkfs.ext4 -q -d /etc/systemd "$DISK"
	/usr/sbin/e2fsck -fn "$DISK"
	echo "$(/usr/sbin/blockdev --getsize64 "$DISK") bytes, clean"
	kill -KILL $$'
assert_eq "$(leftovers)" "" "what with-disk.py leaves"

# --- Followed: whoever takes the device away while it is used.
cat > "${file%/*}/lose" <<'S'
n=${DISK#/dev/ublkb}
busctl call org.ublk1 "/org/ublk1/devices/$n" org.ublk1.Device Delete 'a{sv}' 0
until grep -q "$1" "$2"; do
	sleep 0.05
done
exec sleep 60
S
ends 1 "/dev/ublkb[0-9]+ has gone" alice "$examples/with-disk.py" 1M sh "${file%/*}/lose" "has gone" "$said"
grep -q "State is stopping" "$said" || fail "with-disk.py does not follow the state: $(cat "$said")"
assert_eq "$(leftovers)" "" "what is left of a lost device"

sed -i '/^exec sleep 60$/d' "${file%/*}/lose"
ends 1 InterfacesRemoved alice "$examples/with-image.sh" "$file" sh "${file%/*}/lose" InterfacesRemoved "$said"
grep -q "PropertiesChanged.*'State': <'stopping'>" "$said" || fail "with-image.sh does not follow the state: $(cat "$said")"

# begin COMMAND… : an example in the background, whose command then waits until $waits is removed.
waits=${file%/*}/waits
cat > "${file%/*}/wait" <<'S'
touch "$1"
while [ -e "$1" ]; do
	sleep 0.05
done
S
begin() {
	as alice "$@" sh "${file%/*}/wait" "$waits" > "$said" 2>&1 &
	running=$!
	wait_until 20 test -e "$waits" || fail "$1: the command does not run: $(cat "$said")"
}

# assert_told_to_end NAME : it ends as who was told to, and has deleted what it had made.
assert_told_to_end() {
	local status=0

	wait "$running" || status=$?
	assert_eq "$status" 143 "the status of $1, told to end ($(cat "$said"))"
	rm "$waits"
	assert_eq "$(leftovers)" "" "what $1 leaves when it is told to end"
}

# ublkd's own end is no device's. The signal that the one in Python gets it passes on.
begin "$examples/with-disk.py" 1M
kill -KILL "$(ublkd_pid)"
wait_until 20 _ublkd_answers || fail "ublkd does not come back"
! grep "has gone" "$said" || fail "with-disk.py takes ublkd's end for the device's"
pkill -TERM --oldest -u alice -f "${file%/*}/wait"
assert_told_to_end with-disk.py

# With a shell's script everybody gets it, as by Ctrl-C.
begin "$examples/with-image.sh" "$file"
pkill -TERM -u alice -f "${file%/*}/wait"
assert_told_to_end with-image.sh

# --- Refused.
ends 4 "org.ublk1.create" bob "$examples/with-disk.py" 1M true
ends 1 "org.ublk1.create" bob "$examples/with-image.sh" /home/bob/.profile true
ends 1 "does not exist" alice "$examples/with-image.sh" "$file.not" true
ends 1 "12x is no size" alice "$examples/with-disk.py" 12x true

# --- What `busctl introspect` (and D-Spy, and d-feet) shows is what docs/api.md documents, both ways.
n=$(add_loop alice "$file")
for object in Manager "devices/$n"; do
	interface=org.ublk1.Device
	[ "$object" != Manager ] || interface=org.ublk1.Manager
	busctl --system introspect org.ublk1 "/org/ublk1/$object" "$interface" | sed -nE 's/^\.(\w+) .*/\1/p' | sort > "$said"
	awk -v section="## $interface" '$0 == section { on = 1; next } /^## / { on = 0 } on' "$examples/../docs/api.md" |
		sed -nE 's/^### (\w+)$/\1/p; s/^- `(\w+) \(.*\)`: .*/\1/p' | sort | diff "$said" - || fail "$interface has one and docs/api.md the other"
done
busctl --system tree --list org.ublk1 | grep -qx "/org/ublk1/devices/$n" || fail "busctl tree does not show the device"
delete_device alice "$n"
