#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# Each of the commonest mistakes is answered by one sentence that helps: those of mistakes.txt, word for word. The file is made anew,
# with what the commands print now, and compared; `./run vm -o DIR -- tests/system/run-all mistakes` leaves it in DIR.
. "$(dirname "$0")/devices.sh"

table=$(dirname "$(realpath "$0")")/mistakes.txt
made=/out/mistakes.txt
install -d -o alice -g alice /home/alice/images
# The one with the root's file system: the kernel gives its numbers to the machine's two in any order.
DISK=$(realpath "/sys/dev/block/$(mountpoint -d /)/..")
DISK=/dev/${DISK##*/}
# Whatever a line of root's makes otherwise.
lists=/usr/lib/modules/$(uname -r)
put_back() {
	umount -q "$lists/modules.dep" /home/alice/images/mnt /home/alice/images/small
	mv /etc/ublkd/ublkd.conf.kept /etc/ublkd/ublkd.conf
	mv /run/org.ublk1.service /usr/share/dbus-1/system-services && systemctl reload dbus
	rm -f /run/modprobe.d/mistakes.conf
	sysctl -qw kernel.io_uring_disabled=0
	systemctl unmask --runtime ublkd
	modprobe ublk_drv
	systemctl restart ublkd
}
at_exit rm -rf /home/alice/images
at_exit eval 'put_back > /dev/null 2>&1'

as_typed() { # USER COMMAND
	as "$1" env DISK="$DISK" bash -c "cd /home/alice/images 2> /dev/null; $2" 2>&1 || echo "[$?]"
}

while IFS= read -r -u 3 line; do
	if [[ $line =~ ^root#\ (.*)$ ]]; then
		printf '%s\n' "$line"
		(cd /home/alice/images && bash -euc "${BASH_REMATCH[1]}") > /dev/null || fail "$line"
	elif [[ $line =~ ^([a-z]+)\$\ (.*)$ ]]; then
		printf '%s\n' "$line"
		as_typed "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" | sed "s,$(uname -r),\$RELEASE,g; s,$DISK,\$DISK,g"
	elif [[ -z $line || $line == '#'* ]]; then
		printf '%s\n' "$line"
	fi
done 3< "$table" > "$made" < /dev/null
diff -u "$table" "$made" || fail "what is printed is not what mistakes.txt says"
