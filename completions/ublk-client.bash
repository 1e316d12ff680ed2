# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion for bash. Verbs and options come from `ublk-client --complete`, one's own devices from udev's links: no call to
# ublkd, which a TAB should not start.

_ublk_client() {
	local current=$2 before=$3 verb=${COMP_WORDS[1]} options name arguments option short argument link device
	COMPREPLY=()

	if [ "$COMP_CWORD" = 1 ]; then
		COMPREPLY=($(compgen -W "$(ublk-client --complete verbs 2>/dev/null | cut -f1) --help --version" -- "$current"))
		return
	fi
	# Bash makes three words of --option=value.
	case $current in
	=) current= ;;
	*) [ "$before" != = ] || before=${COMP_WORDS[COMP_CWORD - 2]} ;;
	esac
	options=$(ublk-client --complete options "$verb" 2>/dev/null)
	# A tab is white space to `read`, which would drop an empty column.
	while IFS=$'\x1f' read -r option short argument _; do
		if [ "$before" = "$option" ] || [ -n "$short" -a "$before" = "$short" ]; then
			case $argument in
			'') break ;;
			TARGET) COMPREPLY=($(compgen -W "$(ublk-client --complete targets 2>/dev/null | cut -f1)" -- "$current")) ;;
			STATE) COMPREPLY=($(compgen -W "live created stopping gone" -- "$current")) ;;
			FILE)
				compopt -o filenames
				mapfile -t COMPREPLY < <(compgen -f -- "$current")
				;;
			esac
			return
		fi
	done <<< "${options//$'\t'/$'\x1f'}"
	case $current in
	-*)
		COMPREPLY=($(compgen -W "$(cut -f1 <<< "$options")" -- "$current"))
		return
		;;
	esac
	while IFS=$'\x1f' read -r name arguments _; do
		if [ "$name" = "$verb" ] && [[ $arguments == *DEVICE* ]]; then
			for link in "/dev/disk/by-ublk/$UID-"*; do
				if [ -L "$link" ]; then
					device=$(readlink -f -- "$link")
					COMPREPLY+=($(compgen -W "${link#/dev/disk/by-ublk/"$UID"-} $device" -- "$current"))
				fi
			done
		fi
	done < <(ublk-client --complete verbs 2>/dev/null | tr '\t' '\037')
}

complete -F _ublk_client ublk-client
