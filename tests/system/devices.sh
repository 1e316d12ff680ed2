# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests of ublkd's behaviour share, on top of lib.sh. A test starts with
#	. "$(dirname "$0")/devices.sh"

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The programs of this folder, as the host built them.
for HELPERS in "$(dirname "${BASH_SOURCE[0]}")"/../../build*/tests/system; do
	if [ -x "$HELPERS/bus-call" ]; then
		break
	fi
done
HELPERS=$(realpath "$HELPERS")
BUS_CALL=$HELPERS/bus-call
CONTROL=$HELPERS/control-command

# --- Whatever a test changes goes back, in reverse order.
_exit_commands=()
at_exit() { # COMMAND…
	_exit_commands=("$(printf '%q ' "$@")" "${_exit_commands[@]}")
}

_clean_up() {
	local status=$? command

	trap - ERR
	set +e
	for command in "${_exit_commands[@]}"; do
		eval "$command"
	done
	rm -rf /home/*/ublk-test.*
	exit "$status"
}
trap _clean_up EXIT

# --- Files.

# scratch USER : a new directory in the user's home, removed at the end.
scratch() {
	local directory

	directory=$(mktemp -d "$(getent passwd "$1" | cut -d: -f6)/ublk-test.XXXXXX")
	chown "$1:" "$directory"
	printf '%s\n' "$directory"
}

# backing_file USER SIZE : a new sparse file of that size whose first sector says something.
backing_file() {
	local file

	file=$(scratch "$1")/disk.img
	truncate -s "$2" "$file"
	printf 'the first sector of a disk of %s' "$1" | dd of="$file" conv=notrunc status=none
	chown "$1:" "$file"
	printf '%s\n' "$file"
}

# --- Devices, over the bus.

# add_device USER TARGET OPTIONS : OPTIONS is a dictionary in GVariant's text form. Prints the number.
add_device() {
	local answer

	answer=$(as "$1" "$BUS_CALL" Manager AddDevice "('$2', $3)") || fail "AddDevice: $answer"
	answer=${answer##*/}
	printf '%s\n' "${answer%%\'*}"
}

# add_loop USER FILE [MORE] : MORE is ", 'key': <value>…".
add_loop() {
	add_device "$1" loop "{'file': <'$2'>${3:-}}"
}

# delete_device USER NUMBER
delete_device() {
	local answer

	answer=$(as "$1" "$BUS_CALL" "$2" Delete '(@a{sv} {},)') || fail "Delete: $answer"
	assert_gone "$2"
}

# property NUMBER NAME : the bare value; objects of which nobody knows print nothing and fail.
property() {
	busctl --system --json=short get-property org.ublk1 "/org/ublk1/devices/$1" org.ublk1.Device "$2" 2>/dev/null |
		jq -r .data
}

# kernel_says NUMBER KEY : from the driver itself: id state unprivileged uid gid queues depth pid flags
kernel_says() {
	"$CONTROL" info "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

# device_traces NUMBER : whatever there is of that device, one per line. (Units by their files and cgroups: systemctl takes long here, and
# run-all asks it after each test.)
device_traces() {
	local path link

	for path in "/dev/ublkb$1" "/dev/ublkc$1" "/run/ublkd/devices/$1" "/sys/block/ublkb$1" "/sys/class/ublk-char/ublkc$1" \
		"/run/systemd/transient/ublk-server-$1.service" /sys/fs/cgroup/*/"ublk-server-$1.service" \
		/sys/fs/cgroup/user.slice/*/"ublk-server-$1.service"; do
		if [ -e "$path" ] || [ -L "$path" ]; then
			echo "$path"
		fi
	done
	for link in /dev/disk/by-ublk/*; do
		if [ -L "$link" ] && [ "$(readlink "$link")" = "../../ublkb$1" ]; then
			echo "$link"
		fi
	done
	if busctl --system --auto-start=no get-property org.ublk1 "/org/ublk1/devices/$1" org.ublk1.Device Id > /dev/null 2>&1; then
		echo "object $1"
	fi
	"$CONTROL" info "$1" || true
}

# assert_gone NUMBER : nothing at all is left of the device, now. (The kernel says ENODEV for a number that is free and ENOENT when
# it looks for the node first.)
assert_gone() {
	local traces

	traces=$(device_traces "$1" | grep -vxE 'ENODEV|ENOENT' || true)
	[ -z "$traces" ] || fail "device $1 is not gone: $(xargs <<< "$traces")"
}

_is_gone() {
	(assert_gone "$1") > /dev/null 2>&1
}

# first_text USER NUMBER : the text in the first sector, read by the user from the block device.
first_text() {
	as "$1" dd "if=/dev/ublkb$2" bs=4096 count=1 iflag=direct status=none | tr -d '\0'
}

assert_works() { # USER NUMBER
	assert_eq "$(first_text "$1" "$2")" "the first sector of a disk of $1" "the first sector of /dev/ublkb$2"
}

server_pid() { # NUMBER
	local pid

	pid=$(property "$1" ServerPid)
	[ "$pid" -gt 1 ] || fail "device $1 has no server"
	printf '%s\n' "$pid"
}

# refused NAME TEXT COMMAND… : the command (a bus-call) ends with the D-Bus error NAME, whose message matches the extended regular
# expression TEXT.
refused() {
	local name=$1 text=$2 answer
	shift 2

	answer=$(expect_fail "$@")
	assert_refusal "$name" "$text" "$answer"
}

# assert_refusal NAME TEXT ANSWER : one line of bus-call's. NAME without a dot is one of ublkd's own.
assert_refusal() {
	local name=$1

	case $name in
	"(AccessDenied|InteractiveAuthorizationRequired)" | AccessDenied | InteractiveAuthorizationRequired) name=org.freedesktop.DBus.Error.$name ;;
	*.*) ;;
	*) name=org.ublk1.Error.$name ;;
	esac
	grep -qiE "^error ${name//./\\.} .*($2)" <<< "$3" || fail "the answer is '$3', not $name with a message like '$2'"
}

# --- The daemon.

# kernel_has FEATURE
kernel_has() {
	busctl --system --json=short get-property org.ublk1 /org/ublk1/Manager org.ublk1.Manager KernelFeatures |
		jq -e --arg feature "$1" '.data | index($feature)' > /dev/null
}

ublkd_pid() {
	systemctl show -P MainPID ublkd
}

# descriptors : how many ublkd has open.
descriptors() {
	find "/proc/$(ublkd_pid)/fd" -mindepth 1 | wc -l
}

# assert_no_complaints SINCE : no library that ublkd uses has found something wrong with it.
assert_no_complaints() {
	local complaints

	journalctl --sync
	complaints=$(journalctl --quiet --no-pager -o cat --since="$1" -u ublkd |
		grep -E 'CRITICAL|GLib.*WARNING|[Aa]ssertion|Sanitizer|runtime error' || true)
	[ -z "$complaints" ] || fail "ublkd complains: $complaints"
}

# ublkd_memory : what it has of it, in KiB; ublkd_peak: the most that it had.
ublkd_memory() {
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$(ublkd_pid)/status"
}

ublkd_peak() {
	awk '$1 == "VmHWM:" { print $2 }' "/proc/$(ublkd_pid)/status"
}

# start_ublkd : it is there when this returns.
start_ublkd() {
	systemctl start ublkd
}

_ublkd_answers() {
	busctl --system --auto-start=no get-property org.ublk1 /org/ublk1/Manager org.ublk1.Manager Version
}

# configure < TEXT : ublkd runs with this configuration until the test ends.
configure() {
	local kept

	kept=$(mktemp)
	cp -p /etc/ublkd/ublkd.conf "$kept"
	at_exit _restore_configuration "$kept"
	cat > /etc/ublkd/ublkd.conf
	systemctl restart ublkd
}

_restore_configuration() {
	mv "$1" /etc/ublkd/ublkd.conf
	systemctl restart ublkd
}

# polkit_rule NAME < TEXT : an administrator's rule, until the test ends. polkitd notices a new file by itself, some time; a restart
# is the way to be sure.
polkit_rule() {
	local file=/etc/polkit-1/rules.d/$1.rules

	at_exit _drop_rule "$file"
	cat > "$file"
	chmod 644 "$file"
	systemctl restart polkit
}

_drop_rule() {
	rm -f "$1"
	systemctl restart polkit
}

# bob_goes_on DIRECTORY : from now on bob adds and deletes devices, one after the other, until bob_stops, which fails unless all of it
# succeeded, and says how long the slowest took. To see that what a test does to ublkd keeps nobody else from theirs.
bob_goes_on() {
	polkit_rule 10-ublk-test-bob <<- 'R'
		polkit.addRule(function(action, subject) {
			if (action.id == "org.ublk1.create" && subject.user == "bob")
				return polkit.Result.YES;
		});
	R
	bobs_directory=$1
	touch "$1/bob-goes-on"
	_bob_adds > "$1/bob" 2>&1 &
	bobs_pid=$!
}

_bob_adds() {
	local since slowest=0 took count=0 n

	while [ -e "$bobs_directory/bob-goes-on" ] || [ "$count" = 0 ]; do
		since=$(milliseconds)
		# Not a number that a test sees get free.
		n=$(add_device bob null "{'size': <uint64 1048576>, 'id': <uint32 50>}")
		as bob "$BUS_CALL" "$n" Delete '(@a{sv} {},)' > /dev/null
		took=$(($(milliseconds) - since))
		[ "$took" -le "$slowest" ] || slowest=$took
		count=$((count + 1))
	done
	echo "bob: $count devices, the slowest added and deleted in $slowest ms"
}

bob_stops() {
	rm "$bobs_directory/bob-goes-on"
	wait "$bobs_pid" || fail "bob's calls did not all succeed: $(cat "$bobs_directory/bob")"
	cat "$bobs_directory/bob"
}

# milliseconds : a clock.
milliseconds() {
	printf '%s\n' "$((${EPOCHREALTIME/./} / 1000))"
}

# assert_within MILLISECONDS SINCE WHAT : SINCE is an earlier output of milliseconds. Three times as long is granted: this machine's
# processors are emulated, and somebody else's as well. What is to be found out is who waits for a time limit or an event that never comes.
assert_within() {
	local took=$(($(milliseconds) - $2))

	echo "$3: $took ms"
	# A build with sanitizers takes its time.
	[ "$took" -le $((3 * $1)) ] || [ -d /var/lib/ublk-instrumented ] || fail "$3 took $took ms, more than three times $1"
}

# silent_agent USER : programs of that user's whose password dialogs nobody answers (silent-agent.py), until the test ends. They are told by
# lines to descriptor ${agents[USER]}.
declare -A agents=() agent_files=()
silent_agent() {
	local directory fd

	directory=$(scratch "$1")
	mkfifo "$directory/lines"
	as "$1" python3 "$(dirname "$(realpath "$0")")/silent-agent.py" < "$directory/lines" > "$directory/said" 2>&1 &
	exec {fd}> "$directory/lines"
	agents[$1]=$fd
	agent_files[$1]=$directory/said
	agent_said "$1" 1 ready
}

# agent_does USER LINE
agent_does() {
	echo "$2" >&"${agents[$1]}"
}

# agent_said USER COUNT LINE : when it has said such a line (an extended regular expression) so many times.
agent_said() {
	wait_until 60 _agent_said "$@" || fail "$1's programs did not say '$3' $2 times: $(cat "${agent_files[$1]}")"
}

_agent_said() {
	[ "$(grep -cxE "$3" "${agent_files[$1]}")" = "$2" ]
}
