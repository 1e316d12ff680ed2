# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# The actions, the shipped rule and the examples for administrators, asked of polkit itself: without ublkd in between.
. "$(dirname "$0")/devices.sh"

examples=/usr/share/doc/ublkd/examples/polkit

assert_eq "$(pkaction | grep '^org\.ublk1\.' | sort | xargs)" \
	"org.ublk1.create org.ublk1.create-beyond-limits org.ublk1.manage-others org.ublk1.manage-own org.ublk1.reload" "the actions"

defaults() { # ACTION
	LC_ALL=C pkaction --verbose --action-id "org.ublk1.$1" | sed -n 's/^ *implicit [a-z]*: *//p' | xargs
}
assert_eq "$(defaults create)" "auth_admin auth_admin yes" "who may create (any, inactive, active)"
assert_eq "$(defaults create-beyond-limits)" "auth_admin auth_admin auth_admin" "who may go beyond the limits"
assert_eq "$(defaults manage-own)" "yes yes yes" "who may manage their own"
assert_eq "$(defaults manage-others)" "auth_admin auth_admin auth_admin" "who may manage others' devices"
assert_eq "$(defaults reload)" "auth_admin auth_admin auth_admin" "who may have the settings read anew"
for action in create create-beyond-limits manage-own manage-others reload; do
	LC_ALL=C pkaction --verbose --action-id "org.ublk1.$action" | grep -qE '^ *message: +Authentication is required to' ||
		fail "$action has no message"
done

# Processes of users who have no session.
declare -A subject
for user in alice bob carol; do
	as "$user" sleep 300 > /dev/null 2>&1 &
	wait_until 5 pgrep -u "$user" -x sleep
	subject[$user]=$(pgrep -u "$user" -x -n sleep)
	at_exit kill "${subject[$user]}"
done

# verdict USER ACTION [DETAIL VALUE]… : yes, no or password.
verdict() {
	local user=$1 action=$2 details=() status=0
	shift 2

	while [ $# -gt 0 ]; do
		details+=(--detail "$1" "$2")
		shift 2
	done
	pkcheck --action-id "org.ublk1.$action" --process "${subject[$user]}" "${details[@]}" > /dev/null 2>&1 || status=$?
	case $status in
	0) echo yes ;;
	1) echo no ;;
	2) echo password ;;
	*) echo "pkcheck ended with $status" ;;
	esac
}

# set_rule NAME < TEXT : in force when restart_polkit returns.
set_rule() {
	at_exit rm -f "/etc/polkit-1/rules.d/$1.rules"
	cat > "/etc/polkit-1/rules.d/$1.rules"
	chmod 644 "/etc/polkit-1/rules.d/$1.rules"
}

restart_polkit() {
	systemctl reset-failed polkit 2> /dev/null || true # its start limit
	systemctl restart polkit
}
# Last of all, when the rules are gone.
at_exit restart_polkit

# As shipped: the group (alice) may create, nothing more.
assert_eq "$(verdict alice create size 1048576)" yes "alice creates"
assert_eq "$(verdict bob create size 1048576)" password "bob creates"
assert_eq "$(verdict alice create-beyond-limits)" password "alice goes beyond the limits"
assert_eq "$(verdict alice manage-others)" password "alice manages bob's device"
assert_eq "$(verdict bob manage-own)" yes "bob manages his own"

# An administrator's rule wins over the shipped one, whether its number is the usual one or the shipped one's name is taken.
for name in 50-test 90-ublk; do
	set_rule "$name" <<- 'END'
		polkit.addRule(function(action, subject) {
			if (action.id == "org.ublk1.create")
				return polkit.Result.NO;
		});
	END
	restart_polkit
	assert_eq "$(verdict alice create)" no "alice with $name.rules"
	rm "/etc/polkit-1/rules.d/$name.rules"
done

# What is said about an action, to who asks and to who is asked for a password: whole sentences, and nothing else than details between them.
for action in create create-beyond-limits manage-own manage-others reload; do
	text=$(LC_ALL=C pkaction --verbose --action-id "org.ublk1.$action")
	grep -qE '^ *description: +[A-Z][a-z, '"'"']{20,}$' <<< "$text" || fail "$action is described so: $text"
	! sed 's/\$(\(device\|owner\|operation\))//g' <<< "$text" | grep -F '$(' || fail "$action names a detail that is not passed"
done

# The examples do what they say, all at once.
for name in vmadmins students; do
	groupadd $name
	at_exit groupdel $name
done
gpasswd -a bob vmadmins > /dev/null
gpasswd -a carol students > /dev/null
for name in 40-ublk-size 41-ublk-targets 42-ublk-beyond-limits 43-ublk-group; do
	set_rule $name < $examples/$name.rules
done
restart_polkit
while read -r user action target size expected; do
	assert_eq "$(verdict "$user" "$action" target "${target#-}" size "${size#-}")" "$expected" \
		"$action by $user, target '${target#-}', size '${size#-}'"
done <<- END
	carol create loop 1073741824 yes
	carol create loop 1073742336 password
	carol create null 1048576 no
	carol create-beyond-limits loop 1048576 password
	alice create loop 1048576 yes
	alice create loop 107374182400 yes
	alice create loop 107374182912 no
	alice create loop 18446744073709551615 no
	alice create loop - no
	alice create-beyond-limits loop 107374182912 no
	alice create null 1048576 no
	alice create - 1048576 no
	alice create-beyond-limits null 1048576 no
	alice create-beyond-limits loop 1048576 password
	bob create loop 1048576 password
	bob create-beyond-limits loop 1048576 yes
	bob create-beyond-limits loop 107374182912 no
END
assert_eq "$(verdict alice create target loop)" no "a device without any size"

# By the hour, told by the question instead of the clock, and by where the caller lives.
for name in 40-ublk-size 41-ublk-targets 42-ublk-beyond-limits 43-ublk-group; do
	rm "/etc/polkit-1/rules.d/$name.rules"
done
told='{ getDay: function() { return Number(action.lookup("day")); }, getHours: function() { return Number(action.lookup("hour")); } }'
set_rule 44-ublk-hours < <(sed "s/new Date()/$told/" $examples/44-ublk-hours.rules)
set_rule 46-ublk-no-containers < $examples/46-ublk-no-containers.rules
restart_polkit
while read -r user hour day mounts users expected; do
	assert_eq "$(verdict "$user" create hour "$hour" day "$day" mount-namespace "$mounts" user-namespace "$users")" "$expected" \
		"$user creates at $hour on day $day from mount namespace $mounts and user namespace $users"
done <<- END
	alice 7 1 host host no
	alice 8 1 host host yes
	alice 17 5 host host yes
	alice 18 5 host host no
	alice 12 6 host host no
	alice 12 0 host host no
	bob 7 1 host host no
	bob 8 1 host host password
	alice 12 1 other other no
	alice 12 1 host other no
	alice 12 1 other host no
	bob 12 1 other other no
END
rm /etc/polkit-1/rules.d/46-ublk-no-containers.rules
set_rule 44-ublk-hours < $examples/44-ublk-hours.rules
set_rule 45-ublk-containers < $examples/45-ublk-containers.rules
restart_polkit
read -r day hour <<< "$(date '+%w %-H')"
now=no
if [ $((day % 6)) != 0 ] && [ "$hour" -ge 8 ] && [ "$hour" -lt 18 ]; then
	now=yes
fi
while read -r user mounts users expected; do
	assert_eq "$(verdict "$user" create mount-namespace "$mounts" user-namespace "$users")" "$expected" \
		"$user creates now from mount namespace $mounts and user namespace $users"
done <<- END
	alice host host no
	alice other host no
	alice host other no
	alice other other $now
	bob host host no
END
