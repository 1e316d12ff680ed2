#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# with-image.sh FILE COMMAND… : runs COMMAND while FILE, a disk image, is a block device of one's own. $DISK is its path. Ends with the
# command's status, or with 1 if the device could not be made or was lost.
#
# How a script uses ublkd with nothing but D-Bus: busctl makes the device and deletes it, gdbus tells what happens to it meanwhile
# (`busctl monitor` hears everybody's messages and is root's alone). docs/api.md documents each call.
set -euo pipefail

if [ $# -lt 2 ]; then
	echo "usage: with-image.sh FILE COMMAND…" >&2
	exit 2
fi
# ublkd does not know the caller's directory.
file=$(realpath -- "$1")
shift

# property NAME : without its type and quotes, as 't 4096' and 's "live"' have them.
property() {
	busctl --system get-property org.ublk1 "$object" org.ublk1.Device "$1" | sed 's/^[^ ]* //; s/^"\(.*\)"$/\1/'
}

# Signals first, so that none is missed: it listens when it has said whether the name has an owner.
exec {signals}< <(exec gdbus monitor --system --dest org.ublk1)
monitor=$!
trap 'kill "$monitor" 2> /dev/null' EXIT
until [[ ${line:-} == "The name org.ublk1 "* ]]; do
	read -r line <&"$signals"
done

# Returns when the device can be used: there is nothing to wait for. If it is refused, busctl prints the reason, which also says what to
# do. Who needs a password for it is asked, and has five minutes.
object=$(busctl --system --timeout=300 call org.ublk1 /org/ublk1/Manager org.ublk1.Manager AddDevice 'sa{sv}' loop 1 file s "$file")
object=${object#o \"}
object=${object%\"}

created=$(property CreatedAt)
DISK=$(property BlockDevice)
export DISK

# What happens to the device, as D-Bus says it.
while read -r line; do
	case $line in
	"$object: "* | *InterfacesRemoved*"'$object'"*) printf '%s\n' "$line" >&2 ;;
	esac
done <&"$signals" &
follower=$!

finish() {
	local status=$?

	# With the time of its making, so that it can be no other device that has got the number since.
	busctl --system call org.ublk1 "$object" org.ublk1.Device Delete 'a{sv}' 1 created-at t "$created" || status=1
	kill "$monitor"
	wait "$follower"
	exit "$status"
}
trap finish EXIT
# Bash does this when the command has ended, which gets the same signal from a terminal.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$@" {signals}<&-
