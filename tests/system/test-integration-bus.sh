# SPDX-License-Identifier: LGPL-2.1-or-later
# What the bus allows, whoever calls: ublkd's own interfaces and the standard ones; and that a call starts the service.
. "$(dirname "$0")/devices.sh"

call() { # USER OBJECT INTERFACE METHOD [ARGUMENTS]
	local user=$1
	shift
	as "$user" busctl --system call org.ublk1 "$@"
}

# Whoever asks first starts it, bob too, who may do nothing else.
systemctl stop ublkd
as bob busctl --system get-property org.ublk1 /org/ublk1/Manager org.ublk1.Manager Version
systemctl --quiet is-active ublkd || fail "the call did not start ublkd.service"

for user in bob root; do
	call "$user" /org/ublk1 org.freedesktop.DBus.ObjectManager GetManagedObjects > /dev/null
	call "$user" /org/ublk1/Manager org.freedesktop.DBus.Introspectable Introspect | grep -q org.ublk1.Manager
	call "$user" /org/ublk1/Manager org.freedesktop.DBus.Properties GetAll s org.ublk1.Manager > /dev/null
	call "$user" /org/ublk1/Manager org.freedesktop.DBus.Peer Ping
done
as bob busctl --system introspect org.ublk1 /org/ublk1/Manager | grep -q AddDevice

# The bus itself refuses what is not one of ours, before ublkd sees it.
for user in bob root; do
	for interface in org.ublk1.Debug org.freedesktop.systemd1.Manager; do
		expect_fail call "$user" /org/ublk1/Manager $interface Reload | grep -qE 'Access denied|Sender is not authorized'
	done
done

# Nobody but root can be the service, not even while it is away.
systemctl stop ublkd
expect_fail as alice busctl --system call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus RequestName su org.ublk1 4 |
	grep -q 'not allowed to own\|Access denied'
