#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 7.2
# `wait` returns when a device is live, and when it has gone; `monitor` tells what happens, also to a device whose server is killed, and
# goes on when ublkd is restarted. `stat` shows what fio does.
. "$(dirname "$0")/devices.sh"

directory=$(scratch alice)
as alice ublk-client monitor --json > "$directory/events" &
monitor=$!
told() { # FILTER : monitor has told of an event that jq's filter selects
	jq -e -n "[inputs | select($1)] | length > 0" "$directory/events"
}
wait_until 60 told '.event == "ready"' || fail "monitor does not begin: $(cat "$directory/events")"

# Waits of others than the one who makes the device: for it to come, and for it to go.
as alice ublk-client wait --timeout 60 work > "$directory/live" &
live=$!
n=$(add_device alice null "{'size': <uint64 1048576>, 'name': <'work'>}")
wait "$live" || fail "wait: status $?"
assert_eq "$(cat "$directory/live")" "/dev/ublkb$n" "what wait prints"
wait_until 60 told ".event == \"changed\" and .device.id == $n and .device.state == \"live\" and (.changed | index(\"state\"))" ||
	fail "monitor does not tell that it is live: $(cat "$directory/events")"
[ "$(as alice ublk-client list --quiet)" = "/dev/ublkb$n" ] || fail "list --quiet: $(as alice ublk-client list --quiet)"
as alice ublk-client limits | grep -qE '^devices-per-user +[0-9]+ +1$' || fail "limits: $(as alice ublk-client limits)"

as bob ublk-client wait --for gone --json --timeout 60 alice/work > "$directory/gone" 2>&1 &
gone=$!
systemctl restart ublkd
wait_until 60 told '.event == "back"' || fail "monitor does not tell of the restart: $(cat "$directory/events")"
told '.event == "lost"' || fail "monitor does not tell that ublkd had gone"
told '.event == "removed"' && fail "monitor takes the restart for the device's end"
kill -KILL "$(server_pid "$n")"
wait "$gone" || fail "wait --for gone: status $?: $(cat "$directory/gone")"
jq -e '.devices[0] | .name == "work" and (.ending | test("^its server was killed by signal 9"))' "$directory/gone" > /dev/null ||
	fail "wait --for gone --json: $(cat "$directory/gone")"
wait_until 60 told ".event == \"removed\" and .device.id == $n" || fail "monitor does not tell that it has gone"
# How the server ended reaches who follows the device, and not only the journal.
told ".event == \"changed\" and .device.id == $n and ((.device.ending // \"\") | test(\"^its server was killed by signal 9\"))" ||
	fail "monitor does not tell why: $(cat "$directory/events")"
# … nor is it too late for who looks only now.
for word in work "$n" "/dev/ublkb$n"; do
	expect_fail as alice ublk-client info "$word" | grep -q "“$word” went away at 20.*: its server was killed by signal 9" ||
		fail "info $word: $(as alice ublk-client info "$word" 2>&1)"
done

status=0
as alice ublk-client wait --timeout 3 work 2> "$directory/late" || status=$?
assert_eq "$status" 6 "the status of a wait that is over"
grep -q "“work” is not live" "$directory/late" || fail "wait: $(cat "$directory/late")"

# Both streams as a script has them.
n=$(as alice ublk-client add -t null --size 1M)
as alice ublk-client del --no-wait "$n"
as alice ublk-client wait --for gone "$n"
assert_gone "${n#/dev/ublkb}"
# Who asked for it need not be told.
expect_fail as alice ublk-client info "$n" | grep -q "went away" && fail "info takes a deletion for an accident"

# What fio says that it has done is what `stat` has seen, by the kernel's counters; and the server's processor time is there.
n=$(add_device alice null "{'size': <uint64 67108864>, 'name': <'busy'>}")
as alice ublk-client stat --json -i 0.2 busy > "$directory/stat" &
stat=$!
wait_until 30 test -s "$directory/stat" || fail "stat reports nothing"
as alice fio --name=load "--filename=/dev/ublkb$n" --direct=1 --rw=randread --bs=4k --ioengine=io_uring --iodepth=4 --number_ios=2000 \
	--output-format=json --output="$directory/fio"
seen() { # COUNT : requests, of those that reports are about
	jq -e -n --argjson n "$1" '[inputs | .seconds * (.devices[0].reads // 0)] | add >= $n * 0.95' "$directory/stat"
}
wait_until 30 seen "$(jq '.jobs[0].read.total_ios' "$directory/fio")" || fail "stat misses requests: $(cat "$directory/stat")"
jq -e -n '[inputs.devices[0] | select(.reads > 0)] |
	all(.read_latency >= 0 and .depth == 128 and .mean_in_flight >= 0 and .name == "busy") and any(.cpu > 0 and .cpu_per_request > 0)' \
	"$directory/stat" > /dev/null || fail "stat: $(cat "$directory/stat")"
delete_device alice "$n"

pkill -INT -u alice -x ublk-client
wait "$monitor" || fail "monitor: status $?"
wait "$stat" || fail "stat: status $?"
