#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# TAB offers one's own devices, by name and by node, and nobody else's; it does not start ublkd.
. "$(dirname "$0")/devices.sh"

complete_as() { # USER LINE, split at blanks, the last word is what TAB is pressed in
	as "$1" bash -c '
		. /usr/share/bash-completion/completions/ublk-client
		read -ra COMP_WORDS <<< "$1"
		case $1 in *" ") COMP_WORDS+=("") ;; esac
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_ublk_client ublk-client "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		printf "%s\n" "${COMPREPLY[@]}"' bash "$2" | xargs
}

own=$(as alice ublk-client add -t null --size 1M --name work)
other=$(as_seat bob ublk-client add -t null --size 1M --name walrus)
assert_eq "$(complete_as alice 'ublk-client info ')" "work $own" "what alice is offered"
assert_eq "$(complete_as alice 'ublk-client del w')" "work" "what alice is offered for w"
assert_eq "$(complete_as bob 'ublk-client resize ')" "walrus $other" "what bob is offered"
assert_eq "$(complete_as bob 'ublk-client list ')" "" "what list is offered, which takes no device"
as alice ublk-client del work
as bob ublk-client del walrus

systemctl stop ublkd
assert_eq "$(complete_as alice 'ublk-client info ')" "" "what is offered without a device"
assert_eq "$(systemctl is-active ublkd || true)" "inactive" "ublkd's state after a TAB"
