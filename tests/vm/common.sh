# SPDX-License-Identifier: LGPL-2.1-or-later
# What all scripts share: where things are and how to become root. Sourced, never run.

UBLK_VM_CACHE=${UBLK_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ublkd-vm}
VM_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SRC_DIR=$(cd "$VM_DIR/../.." && pwd)
# Another one keeps out of the way of somebody who builds in the same tree. The test VM always sees it as /src/build.
BUILD_DIR=${BUILD_DIR:-build}
case $BUILD_DIR in
/*) ;;
*) BUILD_DIR=$SRC_DIR/$BUILD_DIR ;;
esac
# Debian's own tools, not what a developer's PATH puts in front of them (pyenv's python breaks meson).
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}
