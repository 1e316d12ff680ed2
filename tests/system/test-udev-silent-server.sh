#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A user's server that answers nothing, or is stopped, holds up no worker of udev's: whatever udev does with the disk, from its first event
# on, it reads nothing from it. Nor does an owner who keeps the disk locked hold up other devices, or the end of this one.
. "$(dirname "$0")/udev.sh"

directory=$(scratch alice)
polkit_rule 10-ublk-test <<'E'
polkit.addRule(function(action, subject) {
	if (action.id == "org.ublk1.create" && subject.user == "bob")
		return polkit.Result.YES;
});
E

# reads NUMBER : how many were answered, and how many wait.
reads() {
	awk '{ print $1 + $9 }' "/sys/block/ublkb$1/stat"
}
# all_events NUMBER… : whatever makes udev look at a disk.
all_events() {
	local n action

	for n; do
		# What a writer's close is, if the disk were watched.
		as alice bash -c "exec 5<> /dev/ublkb$n"
	done
	for action in change add; do
		trigger "$action" "${@/#//sys/class/block/ublkb}" "${@/#//sys/class/ublk-char/ublkc}"
	done
	for n; do
		rm -f "/run/udev/data/$(udev_id "/dev/ublkb$n")"
	done
	trigger add /sys/class/block/*
	for n; do
		assert_eq "$(node_owner "/dev/ublkb$n")" "1000:1000 600" "/dev/ublkb$n"
		assert_not_probed "/dev/ublkb$n"
	done
}
bob_works() {
	delete_device bob "$(add_device bob null "{'size': <uint64 1048576>}")"
}
_nobody_hangs() {
	[ -z "$(ps -e -o stat=,comm= | grep '^D.*udev')" ]
}

# --- Silent from its first request on, and one that is stopped when it works already.
as alice "$HELPERS/attached-server" --hostile silent 1048576 > "$directory/output" &
_is_live() {
	grep '^live ' "$directory/output"
}
wait_until 60 _is_live || fail "a silent server's device does not get live"
silent=$(sed -n 's/^live //p' "$directory/output")
stopped=$(add_loop alice "$(backing_file alice 1M)" ", 'name': <'stopped'>")
assert_works alice "$stopped"
before=$(reads "$stopped")
kill -STOP "$(server_pid "$stopped")"
all_events "$silent" "$stopped"
if kernel_has update-size; then
	as alice "$BUS_CALL" "$stopped" Resize "(uint64 524288, @a{sv} {})" || fail "Resize"
	timeout 60 udevadm settle || fail "udev does not get done with a resize"
fi
bob_works
assert_eq "$(reads "$silent")" 0 "what was read from the silent one"
assert_eq "$(reads "$stopped")" "$before" "what was read from the stopped one"
kill -CONT "$(server_pid "$stopped")"

# --- In the middle of a request. The kernel kills a server after 30 s; a slow machine needs longer for all this.
echo 600000 > "/sys/block/ublkb$silent/queue/io_timeout"
as alice dd "if=/dev/ublkb$silent" of=/dev/null bs=4k count=1 iflag=direct status=none 2> "$directory/dd" &
reader=$!
_waits() {
	[ "$(reads "$silent")" = 1 ]
}
wait_until 20 _waits || fail "the reader's request is not under way"
all_events "$silent"
bob_works
wait_until 20 _nobody_hangs || fail "udev hangs: $(ps -e -o stat=,pid=,comm=,wchan= | grep '^D')"
pkill -KILL -u alice -x attached-server
wait "$reader" && fail "a reader got data from a server that gave none"
wait_until 60 _is_gone "$silent" || assert_gone "$silent"

# --- udev waits for whoever has locked a disk (up to three minutes): with this one's events only, and no longer than there is a disk.
coproc holder { as alice flock "/dev/ublkb$stopped" bash -c 'echo locked; read -r'; }
holder_pid=$holder_PID
read -r word <&"${holder[0]}"
assert_eq "$word" locked "the holder"
udevadm trigger --action=change "/sys/class/block/ublkb$stopped"
bob_works
# The kernel frees the number when the holder closes the disk; the disk itself is gone before.
as alice "$BUS_CALL" "$stopped" Delete '(@a{sv} {},)' || true
wait_for_gone 60 "/dev/ublkb$stopped"
timeout 60 udevadm settle || fail "udev waits for the lock of a disk that is gone"
echo >&"${holder[1]}"
wait "$holder_pid" || true
wait_until 60 _is_gone "$stopped" || assert_gone "$stopped"
file=$(backing_file alice 1M)
assert_eq "$(add_loop alice "$file" ", 'id': <uint32 $stopped>")" "$stopped" "the next disk's number"
assert_works alice "$stopped"
delete_device alice "$stopped"
