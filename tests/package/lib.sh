# SPDX-License-Identifier: LGPL-2.1-or-later
# What both boots of the package test share.
. /src/tests/system/lib.sh
export DEBIAN_FRONTEND=noninteractive

# The test machine has the group and the driver for the sake of the other tests; here the packages are to bring them.
modprobe -r ublk_drv
[ ! -e /dev/ublk-control ] || fail "the driver is loaded"

# As she would after a login: with the groups that she has now.
use_as_alice() {
	local node

	node=$(as alice ublk-client add -t loop -f disk.img --name work)
	as alice sh -c "echo written > text && dd if=text of=$node oflag=direct bs=512 count=1 conv=sync status=none && head -c 7 disk.img" > /tmp/text
	assert_eq "$(cat /tmp/text)" written "what went through $node into the file"
	assert_eq "$(stat -c %U:%a "$node")" alice:600 "who has the node, and how"
}
