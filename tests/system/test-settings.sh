#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# ublkd.conf while ublkd runs: users and groups have limits of their own, whatever groups a process says it has; a reload puts changes in force
# and touches no device; a mistake is told by file and line and changes nothing; only administrators reload.
. "$(dirname "$0")/devices.sh"

polkit_rule 10-ublk-test <<'E'
polkit.addRule(function(action, subject) {
	if (action.id == "org.ublk1.create" && subject.user == "carol")
		return polkit.Result.YES;
});
E
configure <<'E'
[limits]
devices-per-user=3
creations-per-minute=4
E
null="'size': <uint64 1048576>, 'depth': <uint32 16>"
over="(org.ublk1.Error.LimitExceeded|org.freedesktop.DBus.Error.InteractiveAuthorizationRequired)"
try() { # USER
	as "$1" "$BUS_CALL" Manager AddDevice "('null', {$null})"
}
# limit USER KEY [OWNER]: what GetLimits says, allowed and used.
limit() {
	as "$1" busctl --json=short call org.ublk1 /org/ublk1/Manager org.ublk1.Manager GetLimits 'a{sv}' $([ -n "${3:-}" ] && echo "1 owner u $3" || echo 0) |
		jq -r --arg key "$2" '"\(.data[0][$key].data) \(.data[1][$key].data)"'
}
drop_in=/etc/ublkd/ublkd.conf.d/10-test.conf
at_exit rm -rf /etc/ublkd/ublkd.conf.d
mkdir -p /etc/ublkd/ublkd.conf.d
groupadd students
at_exit groupdel students
gpasswd -a carol students > /dev/null

a=$(add_device alice null "{$null}")
assert_eq "$(limit alice devices-per-user)" "3 1" "alice's devices"
assert_eq "$(limit alice creations-per-minute)" "4 1" "what alice has made in a minute"
since=$(date +'%F %T.%6N')
pid=$(ublkd_pid)

# --- Limits of a user and of a group. alice's device goes on, though she has all that she may have by now.
cat > $drop_in <<'E'
[group students]
devices-per-user=1
[user alice]
devices-per-user=1
E
systemctl reload ublkd
assert_eq "$(ublkd_pid)" "$pid" "ublkd after a reload"
[ -b "/dev/ublkb$a" ] || fail "a reload took alice's device"
assert_eq "$(limit root devices-per-user 1000)" "1 1" "alice's devices, as root sees them"
refused AccessDenied "only root may ask" as bob "$BUS_CALL" Manager GetLimits "({'owner': <uint32 1000>},)"
refused "$over" "has 1 devices, and the limit is 1" try alice
c=$(add_device carol null "{$null}")
refused "$over" "has 1 devices, and the limit is 1" try carol
# A process that has left the group, as in a rootless container, is still a student's.
refused "$over" "has 1 devices, and the limit is 1" setpriv --reuid=carol --regid="$(id -g carol)" --clear-groups --reset-env \
	"$BUS_CALL" Manager AddDevice "('null', {$null})"
assert_eq "$(limit bob devices-per-user)" "3 0" "bob's devices"
assert_eq "$(busctl --json=short get-property org.ublk1 /org/ublk1/Manager org.ublk1.Manager Limits | jq -r '.data["devices-per-user"].data')" 3 \
	"the property Limits"

# --- A mistake: nothing of the file counts, and its place is told.
printf '[limits]\ndevices-per-user=9\n[group students]\n# a comment\ndevices-per-user=two\n' > $drop_in
message="$drop_in:5: devices-per-user=two is not a whole number from 0 to 1048576; the settings stay as they were"
refused InvalidArgument "$message" "$BUS_CALL" Manager Reload '(@a{sv} {},)'
expect_fail systemctl reload ublkd > /dev/null
assert_eq "$(systemctl is-active ublkd)" active "ublkd after a reload that failed"
assert_eq "$(limit bob devices-per-user)" "3 0" "bob's devices"
assert_eq "$(limit carol devices-per-user)" "1 1" "carol's devices"
journalctl --sync
journalctl -q -o cat -u ublkd --since "$since" | grep -qF "Call failed: $message" || fail "the journal does not tell what is wrong"

# --- By SIGHUP; and devices-total is everybody's.
printf '[limits]\ndevices-total=2\n' > $drop_in
kill -HUP "$pid"
_is_reloaded() {
	[ "$(limit bob devices-total)" = "2 2" ]
}
wait_until 5 _is_reloaded || fail "SIGHUP did not do it: $(limit bob devices-total)"
assert_eq "$(ublkd_pid)" "$pid" "ublkd after SIGHUP"
refused LimitExceeded "devices-total" try alice

# --- Who may, and what else it does not take.
refused "(AccessDenied|InteractiveAuthorizationRequired)" "." as alice "$BUS_CALL" Manager Reload '(@a{sv} {},)'
refused InvalidArgument "created-at" "$BUS_CALL" Manager Reload "({'created-at': <uint64 1>},)"
refused InvalidArgument "colour" as bob "$BUS_CALL" Manager GetLimits "({'colour': <uint32 1>},)"

# --- A start with a mistake: what is right counts, and of a user's limits a wrong one is 0.
printf '[limits]\ndevices-total=many\ndevices-per-user=8\n[user bob]\ndevices-per-user=two\n' > $drop_in
systemctl restart ublkd
assert_eq "$(limit bob devices-per-user)" "0 0" "bob's devices"
assert_eq "$(limit alice devices-per-user)" "8 1" "alice's devices"
assert_eq "$(limit alice devices-total)" "60 2" "all devices"
assert_works_still() {
	[ -b "/dev/ublkb$1" ] && [ "$(property "$1" State)" = live ]
}
assert_works_still "$a" || fail "alice's device is gone"
delete_device alice "$a"
delete_device carol "$c"
assert_no_complaints "$since"
