#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# A password dialog that nobody answers does not keep its place for ever: when it is old and all places are taken, it closes for another user,
# and its caller is told why.
. "$(dirname "$0")/devices.sh"

# carol is the administrator, and has to type her password as everybody.
gpasswd -a carol sudo > /dev/null
at_exit gpasswd -d carol sudo
echo carol:secret | chpasswd
at_exit passwd -q -d carol
configure <<'E'
[limits]
prompts-total=1
[timeouts]
prompt=600
E
add() { # bob, at a terminal
	as_session bob "$(dirname "$(realpath "$0")")/type-password.py" secret ublk-client add -t null --size 1M --name his
}
told=/tmp/ublk-test-told
silence=/tmp/ublk-test-silence
at_exit rm -f $told $silence
mkfifo $silence
# At carol's terminal nothing is typed, as long as descriptor 3 is open.
as_session carol python3 -B -c 'import pty, sys; pty.spawn(sys.argv[1:])' ublk-client add -t null --size 1M < $silence > $told 2>&1 &
exec 3> $silence
_is_asked() {
	grep -q 'assword:' $told
}
wait_until 60 _is_asked || fail "carol is not asked: $(< $told)"

# Before it is old it stays, and bob is refused.
output=$(expect_fail add)
grep -q 'too many password dialogs are open' <<< "$output" || fail "bob, at first: $output"

sed -i s/prompt=600/prompt=1/ /etc/ublkd/ublkd.conf
systemctl reload ublkd
output=$(add) || fail "bob, later: $output"
grep -q 'asked: True' <<< "$output" || fail "bob is not asked: $output"
_is_told() {
	grep -q 'somebody else needed the place of the dialog' $told
}
wait_until 10 _is_told || fail "carol is not told: $(< $told)"
exec 3>&-
_no_agent() {
	! pgrep -x pkttyagent
}
wait_until 10 _no_agent || fail "an agent is left"
as bob ublk-client del his
assert_nothing_left
