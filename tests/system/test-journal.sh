#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# The journal as an administrator reads it: who was allowed what and who was refused, what became of devices and servers, each with its fields
# and an explanation; a user can neither put words into ublkd's mouth nor fill the journal.
. "$(dirname "$0")/devices.sh"

journalctl --update-catalog
start_ublkd
journalctl --sync
cursor=$(journalctl -q -n 1 --show-cursor | sed -n 's/^-- cursor: //p')
# event WORDS-OF-THE-SUBJECT MATCH… : the newest such line, as JSON. The catalog knows the id by its subject.
entries() {
	local id subject=$1
	shift

	id=$(awk -v subject="$subject" '/^-- / { id = $2 } $0 ~ "^Subject: .*" subject { print id; exit }' /usr/lib/systemd/catalog/ublkd.catalog)
	[ -n "$id" ] || fail "no event is called '$subject'"
	journalctl --sync
	journalctl -q -u ublkd --after-cursor="$cursor" -o json "MESSAGE_ID=$id" "$@"
}
field() { # KEY < JSON : of the last line
	jq -rs --arg key "$1" '.[-1][$key]'
}

# --- bob is refused a hundred times, and with something that nobody shall take for other lines. Not all of it is told one by one; how much
# was left out comes with time, below.
evil=$'x\nUBLK_OWNER=0\n\e[31mdevice 1 of user 0 is live'
calls=$(for i in {1..100}; do echo "Manager GetDeviceByName ('none', @a{sv} {})"; done)
as bob "$BUS_CALL" Manager GetDeviceByName "('$evil', @a{sv} {})" > /dev/null || true
as bob "$BUS_CALL" --script <<< "$calls" > /dev/null || true
refusals=$(entries "call was refused" UBLK_CALLER_UID=1001)
told=$(jq -s length <<< "$refusals")
[ "$told" -lt 101 ] || fail "each of bob's 101 calls has a line"
message=$(jq -rs '.[0].MESSAGE' <<< "$refusals")
[[ $message == *'x?UBLK_OWNER=0??[31mdevice 1 of user 0 is live'* ]] || fail "bob's words became: $message"
assert_eq "$(jq -rs '.[0].UBLK_OWNER' <<< "$refusals")" null "the owner that bob put into a line"

# --- alice's device: allowed, live, refused to bob, deleted; and by whom.
n=$(add_device alice null "{'size': <uint64 1048576>, 'name': <'work'>}")
allowed=$(entries "call was authorized")
assert_eq "$(field UBLK_ACTION <<< "$allowed") $(field UBLK_POLKIT_ACTION <<< "$allowed") $(field UBLK_CALLER_UID <<< "$allowed")" \
	"create org.ublk1.create 1000" "what was allowed"
assert_eq "$(field UBLK_CALLER_PID <<< "$allowed")" "$(field OBJECT_PID <<< "$allowed")" "alice's process"
assert_eq "$(field OBJECT_EXE <<< "$allowed")" "$(realpath "$BUS_CALL")" "alice's program"
live=$(entries "can be used")
assert_eq "$(field UBLK_DEVICE <<< "$live") $(field UBLK_NAME <<< "$live") $(field UBLK_OWNER <<< "$live") $(field UBLK_SERVER_PID <<< "$live")" \
	"$n work 1000 $(server_pid "$n")" "the device that is live"
refused "(AccessDenied|InteractiveAuthorizationRequired)" "." as carol "$BUS_CALL" "$n" Delete '(@a{sv} {},)'
denied=$(entries "call was refused" UBLK_CALLER_UID=1002)
assert_eq "$(field UBLK_ACTION <<< "$denied") $(field UBLK_DEVICE <<< "$denied") $(field UBLK_OWNER <<< "$denied") $(field UBLK_POLKIT_ACTION <<< "$denied")" \
	"delete $n 1000 org.ublk1.manage-others" "what was refused to carol"
delete_device alice "$n"
gone=$(entries "being deleted" "UBLK_DEVICE=$n")
assert_eq "$(field UBLK_ACTION <<< "$gone") $(field UBLK_OWNER <<< "$gone")" "delete 1000" "the device that was deleted"
assert_eq "$(field UBLK_CALLER_UID <<< "$(entries "call was authorized" "UBLK_DEVICE=$n" UBLK_ACTION=delete)")" 1000 "who deleted it"

# --- A server that is killed.
n=$(add_device alice null "{'size': <uint64 1048576>}")
kill -KILL "$(server_pid "$n")"
_is_told() {
	[ -n "$(entries "server of device" "UBLK_DEVICE=$n" UBLK_OWNER=1000)" ]
}
wait_until 20 _is_told || fail "nothing tells that a server was killed"
wait_until 20 _is_gone "$n" || assert_gone "$n"

# --- Explained: the fields are put into the text.
journalctl -q -x -u ublkd --after-cursor="$cursor" --no-pager > /tmp/explained
grep -q "Subject: /dev/ublkb$n of user 1000 can be used" /tmp/explained || fail "journalctl -x does not explain: $(cat /tmp/explained)"
! grep -q '@UBLK_' /tmp/explained || fail "a field that is missing: $(grep '@UBLK_' /tmp/explained)"

# --- The rest about bob.
_is_summed_up() {
	local untold

	untold=$(entries "More calls" UBLK_CALLER_UID=1001 | jq -rs 'map(.MESSAGE | split(" ") | first | tonumber) | add')
	[ "$untold" = $((101 - told)) ]
}
wait_until 15 _is_summed_up || fail "$((101 - told)) calls of bob's are not told of: $(entries "More calls" UBLK_CALLER_UID=1001)"
