#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# A user who creates devices faster than ublkd.conf allows is told to wait, whatever became of the devices, while others go on.
. "$(dirname "$0")/devices.sh"

polkit_rule 10-ublk-test <<'E'
polkit.addRule(function(action, subject) {
	if (action.id == "org.ublk1.create" && subject.user == "bob")
		return polkit.Result.YES;
});
E
configure <<'E'
[limits]
creations-per-minute=3
E
# Ten in one go, on one connection; half of them would fail for another reason. One is allowed again every 20 s.
calls=$(for i in {1..5}; do
	echo "Manager CreateDevice (@a{sv} {},)"
	echo "Manager AddDevice ('loop', {'file': <'/absent'>})"
done)
answers=$(as alice "$BUS_CALL" --script <<< "$calls" || true)
mapfile -t lines <<< "$answers"
assert_eq "${#lines[@]}" 10 "the number of answers"
for i in 0 1 2; do
	! grep -q LimitExceeded <<< "${lines[i]}" || fail "call $i is too fast already: ${lines[i]}"
done
refusals=$(grep -c "^error org.ublk1.Error.LimitExceeded .*minute" <<< "$answers" || true)
echo "$refusals of 10 were refused"
[ "$refusals" -ge 3 ] || fail "only $refusals of 10 were refused: $answers"
delete_device bob "$(add_device bob null "{'size': <uint64 1048576>}")"
