#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A number that goes to another user's device past ublkd (root deleted the first one), at whatever moment: what was meant for the first
# device never touches the second one, ublkd forgets the first one, serves everybody, and believes no cookie that was copied. And nothing
# that its last owner kept of a number is a way into the number's next device.
. "$(dirname "$0")/udev.sh"

# Every wait for udev that is in vain would be seen.
configure <<'E'
[timeouts]
udev=100
E
start_ublkd
file=$(backing_file alice 4M)
directory=${file%/*}
bobs=$(backing_file bob 4M)

cookie_of() { # NUMBER
	sed -n 's/^COOKIE=//p' "/run/ublkd/devices/$1"
}
# changes_hands USER : device 0 is deleted and that user (root: a privileged device) gets the number, with the cookie.
changes_hands() {
	local cookie

	cookie=$(cookie_of 0)
	assert_eq "$("$CONTROL" stop 0)" ok "the end of the device"
	assert_eq "$("$CONTROL" delete 0)" ok "the deletion of the device"
	make_device "$1" "$bobs" --cookie "$cookie"
	assert_eq "$number" 0 "the number of the next device"
}
# Of 7.1 and later: memory that is shared with a device is registered by its number, too.
sharing=''
if kernel_has shmem-zc; then
	sharing=", 'shared-memory': <true>"
fi
add() {
	n=$(add_loop alice "$file" ", 'name': <'first'>$sharing")
	assert_eq "$n" 0 "the number"
}
# send CALLER CALL : "METHOD PARAMETERS" to device 0.
send() {
	local with=() more=()

	if [ "${2%% *}" = RegisterBuffer ]; then
		with=("$HELPERS/memfd-exec" sealed 65536)
		more=(--fd 8)
	fi
	as "$1" "${with[@]}" "$BUS_CALL" "${more[@]}" 0 "${2%% *}" "${2#* }"
}
# send_all CALL… : each as alice and as root, while ublkd stands still, and to somebody else's device by the time that it goes on.
send_all() {
	local call caller calls=()

	for call; do
		for caller in alice root; do
			send "$caller" "$call" > "$directory/${call%% *}.$caller" &
			calls+=($!)
		done
	done
	# Most lie in the bus's queue by then. Those that come later find no object, which is no better for the attacker.
	wait_until 10 pgrep -x bus-call
	kill -CONT "$(ublkd_pid)"
	wait "${calls[@]}" || true
	for call; do
		for caller in alice root; do
			echo "${call%% *}.$caller: $(cat "$directory/${call%% *}.$caller")"
		done
	done
}
assert_refused() { # METHOD.CALLER…
	local answer

	for answer; do
		grep -q '^error' "$directory/$answer" || fail "$answer: $(cat "$directory/$answer")"
	done
}
_no_object() {
	! busctl --system --auto-start=no get-property org.ublk1 /org/ublk1/devices/0 org.ublk1.Device Id
}
# check_second USER WHAT : the second device is untouched, and ublkd knows nothing of the first one.
check_second() {
	local other link

	wait_until 40 _ublkd_answers || fail "$2: ublkd does not answer"
	wait_until 40 _no_object || fail "$2: ublkd still has an object for the first device"
	assert_eq "$(kernel_says 0 uid) $(kernel_says 0 state)" "$(id -u "$1") 1" "$2: the second device's owner and state"
	assert_eq "$(stat -c '%U %a' /dev/ublkc0)" "$1 600" "$2: its node"
	assert_eq "$(first_text "$1" 0)" "the first sector of a disk of bob" "$2: its first sector"
	[ ! -e /run/ublkd/devices/0 ] || fail "$2: there is still a state file"
	for link in /dev/disk/by-ublk/1000-*; do
		[ ! -L "$link" ] || fail "$2: there is a link $link"
	done
	# And the first one's owner has all that belonged to it: the name, the place in the limits, another number.
	other=$(add_loop alice "$file" ", 'name': <'first'>")
	[ "$other" != 0 ] || fail "$2: two devices have the same number"
	assert_works alice "$other"
	delete_device alice "$other"
}
second_ends() {
	end_device
	wait_until 10 _is_gone 0 || assert_gone 0
}

# Calls that are on their way when it happens: ublkd was stopped, so that each of its looks is at the second device.
for user in bob root; do
	add
	kill -STOP "$(ublkd_pid)"
	changes_hands "$user"
	send_all "Delete (@a{sv} {},)" "Stop (@a{sv} {},)" "Resize (uint64 1048576, @a{sv} {})" "GetBackingFile (@a{sv} {},)" \
		"OpenBlockDevice (@a{sv} {},)" "RegisterBuffer (handle 0, @a{sv} {})" "UnregisterBuffer (uint32 0, @a{sv} {})"
	# That it is gone is what the callers of Delete wanted; all others are refused.
	assert_refused {Stop,Resize,OpenBlockDevice,RegisterBuffer,UnregisterBuffer}.{alice,root} GetBackingFile.alice
	check_second "$user" "calls on their way, $user's device"
	second_ends
done

# A device that is not started yet: Start must start no other one, and tell no other one's parameters.
for user in bob root; do
	coproc creator { exec 2>&1; as alice "$BUS_CALL" --hold Manager CreateDevice "({'name': <'first'>},)"; }
	creator_pid=$creator_PID
	read -r word <&"${creator[0]}"
	grep -q "devices/0'" <<< "$word" || fail "CreateDevice: $word"
	kill -STOP "$(ublkd_pid)"
	changes_hands "$user"
	send_all "Start ({'size': <uint64 1048576>},)"
	assert_refused Start.{alice,root}
	check_second "$user" "Start on its way, $user's device"
	eval "exec ${creator[1]}>&-"
	wait "$creator_pid" || true
	second_ends
done

# By way of ublkd: an administrator has looked at alice's device, and its number has another one by the time that the call arrives.
add
meant=$(property 0 CreatedAt)
delete_device alice 0
assert_eq "$(add_loop alice "$file" ", 'name': <'second'>")" 0 "the number"
for call in "Delete ({'created-at': <uint64 $meant>},)" "Stop ({'created-at': <uint64 $meant>},)" \
	"Resize (uint64 1048576, {'created-at': <uint64 $meant>})" "GetBackingFile ({'created-at': <uint64 $meant>},)" \
	"OpenBlockDevice ({'created-at': <uint64 $meant>},)" "Start ({'size': <uint64 1048576>, 'created-at': <uint64 $meant>},)" \
	"RegisterBuffer (handle 0, {'created-at': <uint64 $meant>})" "UnregisterBuffer (uint32 0, {'created-at': <uint64 $meant>})"; do
	refused NotFound "another one" send root "$call"
done
assert_eq "$(property 0 State)" live "the state of the device that was not meant"
assert_eq "$("$BUS_CALL" 0 Delete "({'created-at': <uint64 $(property 0 CreatedAt)>},)")" "ok ()" "the one that is meant"
assert_gone 0

# ublkd takes over what it finds after a restart.
for user in bob root; do
	add
	systemctl stop ublkd
	changes_hands "$user"
	start_ublkd
	check_second "$user" "a restart, $user's device"
	second_ends
done

# A device that is being made, while udev has not spoken yet. Here ublkd waits for udev's word on the first device until its limit.
configure <<'E'
[timeouts]
udev=10
E
udevadm control --stop-exec-queue
at_exit udevadm control --start-exec-queue
as alice "$BUS_CALL" Manager AddDevice "('loop', {'file': <'$file'>})" > "$directory/answer" &
call=$!
wait_until 20 test -e /dev/ublkc0 || fail "AddDevice makes no device"
cookie=$(cookie_of 0)
assert_eq "$("$CONTROL" delete 0)" ok "the deletion of a device that is being made"
"$HELPERS/make-device" --cookie "$cookie" "$(id -u bob)" "$(id -g bob)" "$bobs" > "$directory/second" &
device_pid=$!
at_exit end_device "$device_pid"
wait_until 20 test -e /dev/ublkc0 || fail "make-device makes no device"
udevadm control --start-exec-queue
wait_until 40 test -s "$directory/second" || fail "make-device does not get ready"
# Its caller hears of it, however it was found out.
wait "$call" || true
answer=$(cat "$directory/answer")
echo "$answer"
grep -q '^error' <<< "$answer" || fail "AddDevice: $answer"
check_second bob "a device that is being made"
second_ends

# What alice keeps of her number: descriptors of both nodes that take no right to open (O_PATH), and the node mounted elsewhere.
cat > "$directory/keep" <<-'P'
	import errno, os, sys

	def attempt(what, function):
	    try:
	        function()
	        print(what, 'ok')
	    except OSError as error:
	        print(what, errno.errorcode[error.errno])

	kept = [os.open(path, os.O_PATH) for path in ('/dev/ublkc0', '/dev/ublkb0')]
	paths = ['/proc/self/fd/%d' % fd for fd in kept] + [sys.argv[1]]
	for path in paths:
	    assert os.stat(path).st_uid == 0, path  # in this namespace that is alice
	print('kept', flush=True)
	sys.stdin.readline()
	for path in paths:
	    for mode in os.O_RDONLY, os.O_RDWR:
	        attempt('open', lambda: os.open(path, mode | os.O_NONBLOCK))
	    attempt('chmod', lambda: os.chmod(path, 0o666))
	    attempt('chown', lambda: os.chown(path, 0, 0))
P
add
as alice touch "$directory/mounted"
mkfifo "$directory/go"
as alice unshare --user --map-root-user --mount bash -c \
	"mount --bind /dev/ublkc0 $directory/mounted && exec python3 $directory/keep $directory/mounted" \
	< "$directory/go" > "$directory/attempts" 2>&1 &
keeper=$!
exec {go}> "$directory/go"
wait_until 20 grep -q kept "$directory/attempts" || fail "alice's program: $(cat "$directory/attempts")"
delete_device alice 0
# Not served yet: who opens the char device now is its server.
coproc creator { exec 2>&1; "$BUS_CALL" --hold Manager CreateDevice "({'name': <'created'>},)"; }
creator_pid=$creator_PID
read -r word <&"${creator[0]}"
grep -q "devices/0'" <<< "$word" || fail "CreateDevice: $word"
echo >&"$go"
wait "$keeper" || true
exec {go}>&-
cat "$directory/attempts"
assert_eq "$(grep -cE '^(open|chmod|chown) E(ACCES|PERM)$' "$directory/attempts") $(wc -l < "$directory/attempts")" "12 13" "refusals"
eval "exec ${creator[1]}>&-"
wait "$creator_pid" || true
wait_until 10 _is_gone 0 || assert_gone 0
