# SPDX-License-Identifier: LGPL-2.1-or-later
# What the system tests share. A test starts with
#	. "$(dirname "$0")/lib.sh"
# which also makes it end at the first command that fails, and say which.

set -euo pipefail
trap 'echo "$0:$LINENO: failed: $BASH_COMMAND" >&2' ERR

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

# not_instrumented REASON : for tests of what a build with sanitizers, or one that counts lines, does otherwise by its nature.
not_instrumented() {
	[ ! -d /var/lib/ublk-instrumented ] || skip "not with this build: $*"
}

# sanitizers_keep : KiB of what a program has freed that a build with sanitizers keeps (tests/instrumented/sanitizers.h), and of notes on
# it; none with any other build.
sanitizers_keep() {
	if [ -d /var/lib/ublk-instrumented ]; then
		echo 32768
	else
		echo 0
	fi
}

assert_eq() { # ACTUAL EXPECTED [WHAT]
	[ "$1" = "$2" ] || fail "${3:-value} is '$1', not '$2'"
}

# expect_fail COMMAND… : fails when the command succeeds. Its output (both streams) is printed, for expect_fail … | grep, or
# $(expect_fail …) to judge the message.
expect_fail() {
	local output status=0

	output=$("$@" 2>&1) || status=$?
	printf '%s\n' "$output"
	[ "$status" != 0 ] || fail "this should not succeed: $*"
	# A shell that cannot find or run the command is not the refusal that a test is looking for.
	case $status in
	126 | 127) fail "cannot run: $*" ;;
	esac
}

# as USER COMMAND… : the user's ids and groups and a clean environment, no session: what a program started by a system service has.
# Milliseconds. polkit sees a subject that is neither local nor active.
as() {
	local user=$1 uid runtime=()
	shift

	uid=$(id -u "$user")
	if [ -d "/run/user/$uid" ]; then
		runtime=("XDG_RUNTIME_DIR=/run/user/$uid")
	fi
	(cd "$(getent passwd "$user" | cut -d: -f6)" &&
		exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --reset-env env LANG=C.UTF-8 \
			"${runtime[@]}" "$@")
}

# as_session USER COMMAND… : a PAM session without a seat, with the user's own systemd and bus, as a login by ssh gives. Some 0.5 s;
# rootless podman needs this one.
as_session() {
	local user=$1
	shift

	_session "$user" XDG_SESSION_TYPE=tty -- "$@"
}

# as_seat USER COMMAND… : the active session of seat0, as on a desktop's screen; polkit calls that "active local".
as_seat() {
	local user=$1
	shift

	_session "$user" XDG_SEAT=seat0 XDG_VTNR=1 XDG_SESSION_TYPE=tty XDG_SESSION_CLASS=user -- "$@"
}

_session() { # USER VARIABLE=VALUE… -- COMMAND…
	local user=$1 env=() uid
	shift

	while [ "$1" != -- ]; do
		env+=(-E "$1")
		shift
	done
	shift
	uid=$(id -u "$user")
	systemd-run --quiet --wait --pipe --collect -p User="$user" -p PAMName=login \
		-p WorkingDirectory="$(getent passwd "$user" | cut -d: -f6)" "${env[@]}" -E LANG=C.UTF-8 \
		-E XDG_RUNTIME_DIR="/run/user/$uid" -E DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" -- "$@"
}

# wait_until SECONDS COMMAND… : until the command succeeds, for so long, but at least half a minute: this machine may be slow for a moment, and
# how long something may take is for assert_within to say. Only tests poll.
wait_until() {
	local end=$((SECONDS + ($1 > 30 ? $1 : 30))) is_last=
	shift

	until "$@" > /dev/null 2>&1; do
		# The last look begins when the time is over.
		[ -z "$is_last" ] || return 1
		[ "$SECONDS" -le "$end" ] || is_last=1
		sleep 0.05
	done
}

# wait_for_gone SECONDS PATH… : until none of these exists.
wait_for_gone() {
	local seconds=$1
	shift

	wait_until "$seconds" _all_gone "$@" || fail "still there: $(ls -d "$@" 2>/dev/null | xargs)"
}

_all_gone() {
	local path
	for path; do
		if [ -e "$path" ] || [ -L "$path" ]; then
			return 1
		fi
	done
}

# Whatever exists only as long as devices do, one per line; nothing when there is none. Never starts ublkd.
leftovers() {
	local path

	for path in /dev/ublk[bc]* /dev/disk/by-ublk/* /run/ublkd/devices/*; do
		if [ -e "$path" ] || [ -L "$path" ]; then
			echo "$path"
		fi
	done
	systemctl list-units --all --plain --no-legend --full 'ublk-server-*' | awk '{ print "unit " $1 " " $3 }'
	busctl --system --json=short --auto-start=no call org.ublk1 /org/ublk1 org.freedesktop.DBus.ObjectManager \
		GetManagedObjects 2>/dev/null | grep -o '/org/ublk1/devices/[^"]*' | sort -u | sed 's/^/object /' || true
}

# What a command has asked for may still be under way when it returns (a unit that ends): a few seconds are granted.
assert_nothing_left() {
	wait_until 5 _nothing_left || { leftovers; return 1; }
}

_nothing_left() {
	[ -z "$(leftovers)" ]
}

# After a failure: the state of a fresh boot, by force.
remove_leftovers() {
	(
		set +e
		trap - ERR
		awk '$1 ~ "^/dev/ublkb" { print $2 }' /proc/mounts | tac | xargs -r -n1 umount -l
		for user in alice bob carol; do
			pkill -KILL -u "$user"
		done
		systemctl list-units --all --plain --no-legend --full 'ublk-server-*' | awk '{ print $1 }' | while read -r unit; do
			systemctl kill -s KILL "$unit"
			systemctl stop "$unit"
			systemctl reset-failed "$unit"
		done
		systemctl stop ublkd
		rm -rf /run/ublkd/devices/*
		pkill -KILL -x ublk-server
		# Removing the driver deletes every device that no program holds.
		timeout 20 modprobe -r ublk_drv
		modprobe ublk_drv
		udevadm settle -t 10
		leftovers | sed 's/^/cannot remove: /'
	) 2>/dev/null
}
