#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# The administrator's rules win over the shipped one, and can decide by what is asked for and from where: target, size, file, name, queues,
# read-only, namespaces.
# They can let in somebody who is in no group, for one kind of device only.
. "$(dirname "$0")/devices.sh"

add() { # USER TARGET OPTIONS
	as "$1" "$BUS_CALL" Manager AddDevice "('$2', $3)"
}
null() { # USER SIZE
	add "$1" null "{'size': <uint64 $2>}"
}
file=$(backing_file alice 8M)

# First without rules: everything that will be refused below is allowed now.
n=$(add_device alice null "{'size': <uint64 2147483648>}")
delete_device alice "$n"

polkit_rule 10-ublk-test <<'R'
// Details are strings.
polkit.addRule(function(action, subject) {
	if (action.id.indexOf("org.ublk1.") != 0)
		return;
	if (subject.user == "bob" && action.id == "org.ublk1.create")
		return action.lookup("target") == "null" && action.lookup("owner") == "1001" ? polkit.Result.YES : polkit.Result.NO;
	if (subject.user == "carol" && action.id == "org.ublk1.manage-others")
		return action.lookup("operation") == "delete" && action.lookup("owner") == "1000" ? polkit.Result.YES : polkit.Result.NO;
	if (action.id != "org.ublk1.create")
		return;
	if (Number(action.lookup("size")) > 1073741824)
		return polkit.Result.NO;
	if (action.lookup("target") == "loop" && action.lookup("read-only") != "true")
		return polkit.Result.NO;
	if (action.lookup("name") == "not-in-a-container" && (action.lookup("user-namespace") != "host" || action.lookup("mount-namespace") != "host"))
		return polkit.Result.NO;
	if (action.lookup("name") == "forbidden" || Number(action.lookup("depth")) > 1000)
		return polkit.Result.NO;
});
R

# By size. The limit itself is not above it: the number arrived as it is.
refused AccessDenied . null alice 1073741824512
assert_nothing_left
n=$(add_device alice null "{'size': <uint64 1073741824>}")
delete_device alice "$n"
# … also where the size is not known before the server has looked at the file, or is told to Start.
truncate -s 2G "$file"
refused AccessDenied 2147483648 add alice loop "{'file': <'$file'>, 'read-only': <true>}"
truncate -s 8M "$file"
assert_nothing_left
coproc creator { as alice "$BUS_CALL" --hold Manager CreateDevice '(@a{sv} {},)'; }
creator_pid=$creator_PID
read -r answer <&"${creator[0]}"
n=${answer#*/devices/}
n=${n%%\'*}
refused AccessDenied 2147483648 as alice "$BUS_CALL" "$n" Start "({'size': <uint64 2147483648>},)"
eval "exec ${creator[1]}>&-"
wait "$creator_pid" || true
wait_until 3 _is_gone "$n" || assert_gone "$n"
# By target and other words.
refused AccessDenied . add alice loop "{'file': <'$file'>}"
assert_nothing_left
n=$(add_loop alice "$file" ", 'read-only': <true>")
delete_device alice "$n"
refused AccessDenied . add alice null "{'size': <uint64 1048576>, 'name': <'forbidden'>}"
refused AccessDenied . add alice null "{'size': <uint64 1048576>, 'depth': <uint32 2048>}"
# CreateDevice is asked in the same way.
refused AccessDenied . as alice "$BUS_CALL" Manager CreateDevice "({'name': <'forbidden'>},)"
assert_nothing_left

# By where the caller lives: the same call from the host's namespaces, another mount namespace, other ones of both.
held() { # NAMESPACE… : a device comes and goes with its creator
	local answer

	answer=$(as alice "$@" "$BUS_CALL" Manager CreateDevice "({'name': <'not-in-a-container'>},)") || { echo "$answer"; return 1; }
	wait_until 5 _nothing_left
}
held
refused AccessDenied . held unshare --user --map-current-user
refused AccessDenied . held unshare --user --map-current-user --mount
assert_nothing_left

# bob may have null devices, by the rule alone.
n=$(add_device bob null "{'size': <uint64 1048576>}")
assert_eq "$(kernel_says "$n" uid)" 1001 "the owner of bob's device"
delete_device bob "$n"
refused AccessDenied . add bob loop "{'file': <'$(backing_file bob 4M)'>}"
assert_nothing_left

# carol may delete alice's devices and do nothing else with them.
n=$(add_device alice null "{'size': <uint64 1048576>}")
refused AccessDenied . as carol "$BUS_CALL" "$n" Stop '(@a{sv} {},)'
refused AccessDenied . as carol "$BUS_CALL" "$n" GetBackingFile '(@a{sv} {},)'
[ -b "/dev/ublkb$n" ] || fail "carol stopped the device"
delete_device carol "$n"
