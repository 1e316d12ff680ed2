#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# bob can do nothing with alice's device: not over D-Bus (ublkd refuses), not through the nodes (their mode, and the kernel's own rule
# behind it), not with the control device, even when he is handed an open descriptor of it (the kernel refuses each command).
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 16M)
n=$(add_loop alice "$file" ", 'name': <'hers'>")
pid=$(server_pid "$n")
describe() {
	for property in State Name Size OwnerUid ServerPid ReadOnly Queues; do
		property "$n" "$property"
	done
}
before=$(describe)

# --- Over D-Bus. Without a seat and without a password the answer is no; a program that allows interaction may be told to ask.
for call in "Start {'size': <uint64 1048576>}" "Start @a{sv} {}" "Stop @a{sv} {}" "Delete @a{sv} {}" "GetBackingFile @a{sv} {}" \
	"Resize uint64 8388608, @a{sv} {}"; do
	method=${call%% *}
	arguments=${call#* }
	[[ $arguments == *, ]] || [ "$method" = Resize ] || arguments="$arguments,"
	answer=$(expect_fail as bob "$BUS_CALL" "$n" "$method" "($arguments)")
	case $answer in
	"error org.freedesktop.DBus.Error.AccessDenied "* | \
		"error org.freedesktop.DBus.Error.InteractiveAuthorizationRequired "*) ;;
	# It is live, nobody can start it; test-created-only.sh tries one that waits to be started.
	"error org.ublk1.Error.InvalidState "*) [ "$method" = Start ] || fail "$method by bob: $answer" ;;
	*) fail "$method by bob: $answer" ;;
	esac
done
refused "(AccessDenied|InteractiveAuthorizationRequired)" . as bob "$BUS_CALL" --interactive "$n" Delete '(@a{sv} {},)'
expect_fail as bob ublk-client del -n "$n" > /dev/null
# "All" is all of his own.
as bob ublk-client del -a || true
# He cannot pass for her either.
refused InvalidArgument owner as bob "$BUS_CALL" "$n" Delete "({'owner': <uint32 1000>},)"
refused InvalidArgument owner as bob "$BUS_CALL" Manager AddDevice "('null', {'size': <uint64 1048576>, 'owner': <uint32 1000>})"

# --- Through the nodes.
for node in "/dev/ublkb$n" "/dev/ublkc$n"; do
	expect_fail as bob dd if="$node" of=/dev/null count=1 2>&1 | grep -q "Permission denied" || fail "bob reads $node"
	expect_fail as bob dd of="$node" if=/dev/zero count=1 conv=notrunc 2>&1 | grep -q "Permission denied" || fail "bob writes $node"
done
# Even an administrator's slip does not open the block device: the kernel wants the owner's uid and gid.
chmod 666 "/dev/ublkb$n"
expect_fail as bob dd if="/dev/ublkb$n" of=/dev/null count=1 2>&1 | grep -q "Operation not permitted" || fail "bob reads a 0666 node"
chmod 600 "/dev/ublkb$n"

# --- With the control device.
assert_eq "$(stat -c '%U:%G %a' /dev/ublk-control)" "root:root 600" "/dev/ublk-control"
assert_eq "$(as bob "$CONTROL" info "$n" || true)" EACCES "bob opens the control device"
exec 7<> /dev/ublk-control
# As alice the same command passes: it is bob who is refused.
as alice "$CONTROL" --fd 7 info "$n" | grep -q uid=1000 || fail "alice asks the kernel about her device: $(as alice "$CONTROL" --fd 7 info "$n")"
for command in info params affinity "start $n $pid" stop delete set-params; do
	read -ra words <<< "$command"
	assert_eq "$(as bob "$CONTROL" --fd 7 "${words[0]}" "$n" ${words[2]:+"${words[2]}"} || true)" EACCES "bob's ${words[0]}"
done
# 6.12 does not know the command.
answer=$(as bob "$CONTROL" --fd 7 resize "$n" 8 || true)
case $answer in
EACCES) ;;
EINVAL | EOPNOTSUPP) ! kernel_has update-size || fail "bob's resize: $answer" ;;
*) fail "bob's resize: $answer" ;;
esac
for command in info stop delete; do
	assert_eq "$(as bob "$CONTROL" --fd 7 --no-path "$command" "$n" || true)" EINVAL "bob's $command without a path"
done
exec 7>&-

# --- Nothing of all that had an effect.
assert_eq "$(describe)" "$before" "the device"
kill -0 "$pid" || fail "the server is gone"
assert_works alice "$n"
# What bob was refused works for her.
as alice "$BUS_CALL" "$n" GetBackingFile '(@a{sv} {},)' | grep -qF "$file" || fail "GetBackingFile by alice"
delete_device alice "$n"
