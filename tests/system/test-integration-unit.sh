# SPDX-License-Identifier: LGPL-2.1-or-later
# ublkd's unit: systemd's own measure of it, what the running process may do, and that it comes back when it is killed.
. "$(dirname "$0")/devices.sh"
not_instrumented "the unit must give the sanitizers room"

unit=$(systemctl show -P FragmentPath ublkd.service)
[ -n "$unit" ] || fail "ublkd.service is not installed"

assert_eq "$(systemd-analyze verify --recursive-errors=no "$unit" 2>&1)" "" "what systemd-analyze verify says"
systemd-analyze security --no-pager --offline=true --threshold=18 "$unit" > /tmp/exposure || { cat /tmp/exposure; fail "too much exposure"; }
tail -n 1 /tmp/exposure

systemctl stop ublkd
start_ublkd
pid=$(ublkd_pid)

# What the kernel says it holds: two capabilities and no way to others.
capabilities=$(printf '%016x' $(((1 << 6) | (1 << 7))))
for set in CapPrm CapEff CapBnd; do
	assert_eq "$(sed -n "s/^$set:\t//p" "/proc/$pid/status")" "$capabilities" "$set (CAP_SETGID and CAP_SETUID)"
done
assert_eq "$(sed -n 's/^CapAmb:\t//p' "/proc/$pid/status")" 0000000000000000 CapAmb
assert_eq "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$pid/status")" 1 NoNewPrivs
assert_eq "$(sed -n 's/^Seccomp:\t//p' "/proc/$pid/status")" 2 Seccomp

# The driver's devices must be allowed by name, which works only if the driver was there when the unit started.
grep -qw ublk-char /proc/devices || fail "the driver's device class has another name: $(grep ublk /proc/devices)"
_ublkd_answers || fail "ublkd does not answer"

# Killed, it comes back, and what it noted down is still there.
touch /run/ublkd/survivor
at_exit rm -f /run/ublkd/survivor
kill -KILL "$pid"
another_pid() {
	[ "$(ublkd_pid)" != 0 ] && [ "$(ublkd_pid)" != "$pid" ] && _ublkd_answers
}
wait_until 5 another_pid || fail "ublkd did not come back"
[ -e /run/ublkd/survivor ] || fail "/run/ublkd was emptied"
assert_eq "$(stat -c '%U:%G %a' /run/ublkd)" "root:root 755" "/run/ublkd"
systemctl stop ublkd
[ -e /run/ublkd/survivor ] || fail "/run/ublkd was emptied"
