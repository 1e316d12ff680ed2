# SPDX-License-Identifier: LGPL-2.1-or-later
# How the scripts that make the test machines reach Debian suites that the machine itself does not use. Sourced, never run.

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The codename of the running release (bookworm, trixie, …).
host_codename() {
	. /etc/os-release
	[ "${ID:-}" = debian ] || die "this needs Debian 12 or 13, not ${PRETTY_NAME:-an unknown system}"
	printf '%s\n' "$VERSION_CODENAME"
}

# The mirror that the machine's own apt configuration names for Debian itself. apt is asked, because it knows both formats of its
# sources; the Release file's own words tell Debian from a third party that uses the same suite name.
debian_mirror() {
	local codename mirror attempt

	if [ -n "${UBLK_VM_MIRROR:-}" ]; then
		printf '%s\n' "$UBLK_VM_MIRROR"
		return
	fi
	codename=$(host_codename)
	for attempt in 1 2; do
		mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' \
			'Created-By: Packages' |
			awk -F'|' -v c="$codename" '$1 == "Debian" && $2 == "Debian" && $3 == c && $4 == "main" && !u { u = $5 }
				END { print u }')
		if [ -n "$mirror" ]; then
			printf '%s\n' "$mirror"
			return
		fi
		# Without downloaded lists apt cannot say whose a source is.
		[ "$attempt" = 2 ] || as_root apt-get -q update >&2
	done
	die "apt's sources name no Debian mirror for $codename; set UBLK_VM_MIRROR"
}

# private_apt DIR STATUS SUITE… : an apt of our own below DIR that knows only these suites, so that the host's sources, lists and
# packages stay as they are. STATUS is the dpkg status that it counts as installed. Afterwards: "${PRIVATE_APT[@]}" is the options.
private_apt() {
	local dir=$1 status=$2 mirror suite
	shift 2

	mirror=$(debian_mirror)
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
	for suite; do
		printf 'deb [signed-by=%s] %s %s main\n' "$DEBIAN_KEYRING" "$mirror" "$suite"
	done > "$dir/sources.list"
	PRIVATE_APT=(
		-q
		-o "Dir::State=$dir/state" -o "Dir::State::status=$status" -o "Dir::Cache=$dir/cache"
		-o "Dir::Cache::archives=$dir/cache/archives"
		-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Languages=none -o Acquire::Retries=3
		-o APT::Install-Recommends=false -o APT::Keep-Downloaded-Packages=true
	)
	apt-get "${PRIVATE_APT[@]}" update > "$dir/update.log" 2>&1 || { cat "$dir/update.log" >&2; die "apt update for $* failed"; }
}
