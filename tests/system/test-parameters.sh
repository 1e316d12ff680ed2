#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every parameter that an ordinary user's device may have can be given to `ublk-client add`, to `ublk-client serve` and over D-Bus; the
# block layer then has just that, and what limits requests does limit those that the server gets. What cannot be is refused by its
# option's name, before the device is there for anybody; a parameter that this kernel's driver lacks is not dropped without a word.
# timeout: 600
. "$(dirname "$0")/devices.sh"

file=$(backing_file alice 64M)
directory=${file%/*}
wrong=0
complain() {
	echo "  $*"
	wrong=$((wrong + 1))
}

# Limits of segments and the DMA alignment came with Linux 6.15. No feature flag tells of them; this one came next, with 6.16.
segments=no
! kernel_has update-size || segments=yes

# limits NUMBER : what the block layer says, one "name value" per line.
limits() {
	local name

	for name in logical_block_size physical_block_size minimum_io_size optimal_io_size max_hw_sectors_kb chunk_sectors \
		virt_boundary_mask rotational write_cache fua discard_max_hw_bytes discard_granularity write_zeroes_max_bytes \
		max_segments max_segment_size dma_alignment; do
		echo "$name $(cat "/sys/block/ublkb$1/queue/$name")"
	done
	echo "ro $(cat "/sys/block/ublkb$1/ro")"
	echo "sectors $(cat "/sys/block/ublkb$1/size")"
}

# check_limits WHAT NUMBER "name value"…
check_limits() {
	local what=$1 n=$2 line all
	shift 2

	all=$(limits "$n")
	for line; do
		grep -qxF "$line" <<< "$all" || complain "$what: not $line but $(grep "^${line%% *} " <<< "$all")"
	done
}

# count NUMBER FIELD COMMAND… : how many requests of a kind (a field of /sys/block/*/stat) the command makes.
count() {
	local n=$1 field=$2 before after
	shift 2

	before=$(awk -v f="$field" '{ print $f }' "/sys/block/ublkb$n/stat")
	"$@" > "$directory/counted" 2>&1 || fail "$*: $(cat "$directory/counted")"
	after=$(awk -v f="$field" '{ print $f }' "/sys/block/ublkb$n/stat")
	echo $((after - before))
}
READS=1 WRITES=5 DISCARDS=12 FLUSHES=16
check_count() { # WHAT EXPECTED GOT
	[ "$2" = "$3" ] || complain "$1: $3 requests, not $2"
}
read_1m() {
	as alice dd "if=/dev/ublkb$1" of=/dev/null bs=1M count=1 iflag=direct
}

# --- All that both kernels have: by the client, by busctl, and by `serve`. Not one value is what it would be anyway.
words=(--logical-block-size 1K --physical-block-size 8K --io-min 16K --io-opt 1M --max-io-size 128K --chunk-size 64K
	--virt-boundary-mask 0xfff --rotational --no-fua --max-discard-size 8M --discard-granularity 16K --discard-alignment 4K
	--max-write-zeroes-size 1M --size 32M)
busctl=(logical-block-size u 1024 physical-block-size u 8192 io-min u 16384 io-opt u 1048576 max-io-size u 131072 chunk-size u 65536
	virt-boundary-mask t 4095 rotational b true fua b false max-discard-size t 8388608 discard-granularity u 16384
	discard-alignment u 4096 max-write-zeroes-size t 1048576 size t 33554432)
expected=("logical_block_size 1024" "physical_block_size 8192" "minimum_io_size 16384" "optimal_io_size 1048576"
	"max_hw_sectors_kb 128" "chunk_sectors 128" "virt_boundary_mask 4095" "rotational 1" "fua 0"
	"discard_max_hw_bytes 8388608" "discard_granularity 16384" "write_zeroes_max_bytes 1048576"
	"sectors 65536" "ro 0")

as alice ublk-client add -t loop -f "$file" -n 0 "${words[@]}" > /dev/null
check_limits "client, loop" 0 "${expected[@]}" "write_cache write back"
assert_works alice 0
check_count "chunks of 64K" 16 "$(count 0 $READS read_1m 0)"
# No file of sysfs tells the alignment; but the first of 8M ends where a unit does, and so one is left over.
check_count "discards of 8M" 5 "$(count 0 $DISCARDS as alice /usr/sbin/blkdiscard -o 0 -l 32M /dev/ublkb0)"
as alice ublk-client del 0

answer=$(as alice busctl --system call org.ublk1 /org/ublk1/Manager org.ublk1.Manager AddDevice 'sa{sv}' null \
	$((${#busctl[@]} / 3)) "${busctl[@]}")
n=${answer##*/}
n=${n%\"}
check_limits "busctl, null" "$n" "${expected[@]}" "write_cache write through"
delete_device alice "$n"

as alice ublk-client serve -t loop -f "$file" -n 5 "${words[@]}" > "$directory/output" 2>&1 &
_is_live() {
	[ "$(property 5 State)" = live ]
}
wait_until 20 _is_live || fail "serve: $(cat "$directory/output")"
check_limits "serve, loop" 5 "${expected[@]}" "write_cache write back"
pkill -INT -u alice -x ublk-client
wait
wait_until 10 _is_gone 5 || assert_gone 5

# --- Without any of them a device is what it was.
n=$(add_loop alice "$file")
check_limits "no parameters" "$n" "logical_block_size 512" "write_cache write back" "fua 1" "chunk_sectors 0" "rotational 0" \
	"virt_boundary_mask 0" "max_hw_sectors_kb 512" "discard_max_hw_bytes 268435456" "write_zeroes_max_bytes 16777216" \
	"dma_alignment 3" "max_segments 65535" "sectors 131072"
check_count "requests of 512K" 2 "$(count "$n" $READS read_1m "$n")"
# O_DSYNC on a block device is a FUA write and a flush.
check_count "a durable write where there is FUA: flushes" 1 \
	"$(count "$n" $FLUSHES as alice dd if=/dev/zero "of=/dev/ublkb$n" bs=4K count=1 seek=100 oflag=direct,dsync)"
delete_device alice "$n"

# --- One by one: what the others would hide, and what follows from one alone.
one() { # WHAT TARGET WORDS… -- "name value"…
	local what=$1 options=()
	shift

	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	as alice ublk-client add -n 1 "${options[@]}" > /dev/null || fail "$what"
	check_limits "$what" 1 "$@"
	"${after[@]}"
	as alice ublk-client del 1
	after=(:)
}
after=(:)
loop=(-t loop -f "$file")
null=(-t null --size 64M)
_flushes() { # HOW MANY
	check_count "a durable write: flushes" "$1" \
		"$(count 1 $FLUSHES as alice dd if=/dev/zero of=/dev/ublkb1 bs=4K count=1 seek=100 oflag=direct,dsync)"
}
after=(_flushes 2)
one "no FUA" "${loop[@]}" --no-fua -- "fua 0" "write_cache write back"
one "a larger physical block" "${loop[@]}" --physical-block-size 64K -- "physical_block_size 65536" "minimum_io_size 65536" \
	"optimal_io_size 65536" "discard_granularity 65536"
one "a smaller physical block" "${loop[@]}" --physical-block-size 512 -- "physical_block_size 512" "minimum_io_size 512"
one "io-min alone" "${loop[@]}" --io-min 32K -- "minimum_io_size 32768" "optimal_io_size 32768"
one "no discard" "${loop[@]}" --max-discard-size 0 -- "discard_max_hw_bytes 0" "discard_granularity 0" \
	"write_zeroes_max_bytes 16777216"
_zeroes() {
	check_count "zeroes of 1M" 4 "$(count 1 $WRITES as alice /usr/sbin/blkdiscard -z -o 0 -l 4M /dev/ublkb1)"
}
after=(_zeroes)
one "small writes of zeroes" "${loop[@]}" --max-write-zeroes-size 1M -- "write_zeroes_max_bytes 1048576"
one "no write of zeroes" "${loop[@]}" --max-write-zeroes-size 0 -- "write_zeroes_max_bytes 0" "discard_max_hw_bytes 268435456"
one "read-only" "${loop[@]}" -r --max-discard-size 0 -- "ro 1" "discard_max_hw_bytes 0"
after=(_flushes 0)
one "null has no cache" "${null[@]}" --no-volatile-cache -- "write_cache write through" "fua 0"
after=(_flushes 2)
one "null with a cache, no FUA" "${null[@]}" --volatile-cache --no-fua -- "write_cache write back" "fua 0"
after=(_flushes 1)
one "null with a cache and FUA" "${null[@]}" --volatile-cache --fua -- "write_cache write back" "fua 1"

# --- What older drivers lack: there, or refused by its name.
_small_segments() {
	check_count "segments of 4K, one a request" 256 "$(count 1 $READS read_1m 1)"
}
if [ $segments = yes ]; then
	after=(_small_segments)
	one "segments" "${loop[@]}" --max-segments 1 --max-segment-size 4K -- "max_segments 1" "max_segment_size 4096"
	after=(_small_segments)
	one "a segment's boundary" "${loop[@]}" --max-segments 1 --segment-boundary-mask 0xfff -- "max_segments 1"
	one "dma-alignment" "${null[@]}" --dma-alignment 4K -- "dma_alignment 4095"
	one "dma-alignment, the least" "${null[@]}" --dma-alignment 2 -- "dma_alignment 1"
	n=$(add_device alice null "{'size': <uint64 67108864>, 'max-segments': <uint32 3>, 'max-segment-size': <uint32 12288>,
		'segment-boundary-mask': <uint64 65535>, 'dma-alignment': <uint32 1024>}")
	check_limits "D-Bus, segments" "$n" "max_segments 3" "max_segment_size 12288" "dma_alignment 1023"
	delete_device alice "$n"
else
	for words in "--max-segments 1" "--max-segment-size 4K" "--segment-boundary-mask 0xfff" "--dma-alignment 512"; do
		option=${words%% *}
		# shellcheck disable=SC2086
		answer=$(expect_fail as alice ublk-client add "${null[@]}" -n 1 $words)
		grep -q "\"${option#--}\".*kernel" <<< "$answer" || complain "$words: $answer"
		assert_gone 1
	done
	refused NotSupported '"dma-alignment".*kernel' as alice "$BUS_CALL" Manager AddDevice \
		"('null', {'size': <uint64 1048576>, 'dma-alignment': <uint32 512>})"
	# shellcheck disable=SC2086
	answer=$(expect_fail as alice timeout 20 ublk-client serve "${null[@]}" -n 1 --max-segments 1)
	grep -q '"max-segments".*kernel' <<< "$answer" || complain "serve --max-segments: $answer"
	assert_nothing_left
fi

# --- Wrong ones. ERROR | what the message says | the dictionary (of loop, with its file, or with "null:" in front)
cases=$(
	cat <<-'E'
		InvalidArgument|"physical-block-size" is 512, which is less than the logical|'logical-block-size': <uint32 4096>, 'physical-block-size': <uint32 512>
		InvalidArgument|"physical-block-size" is 1000|'physical-block-size': <uint32 1000>
		InvalidArgument|"physical-block-size" is 536870912|'physical-block-size': <uint32 536870912>
		InvalidArgument|"physical-block-size" wants|'physical-block-size': <uint64 4096>
		InvalidArgument|"io-min" is 3000|'io-min': <uint32 3000>
		InvalidArgument|"io-min" is 512, which is less than the physical|'io-min': <uint32 512>
		InvalidArgument|"io-opt" is 4096, which is less than io-min|'io-min': <uint32 8192>, 'io-opt': <uint32 4096>
		InvalidArgument|"chunk-size" is 100|'chunk-size': <uint32 100>
		InvalidArgument|"chunk-size" is 512, which is not a multiple of the logical|'logical-block-size': <uint32 4096>, 'chunk-size': <uint32 512>
		InvalidArgument|"max-io-size" is 135680, which is not a multiple of the page|'max-io-size': <uint32 135680>
		InvalidArgument|"virt-boundary-mask" is 4096|'virt-boundary-mask': <uint64 4096>
		InvalidArgument|"dma-alignment" is 1,|'dma-alignment': <uint32 1>
		InvalidArgument|"dma-alignment" is 8192|'dma-alignment': <uint32 8192>
		InvalidArgument|"max-segments" is 65536|'max-segments': <uint32 65536>
		InvalidArgument|"max-segment-size" is 512|'max-segment-size': <uint32 512>
		InvalidArgument|"segment-boundary-mask" is 511|'segment-boundary-mask': <uint64 511>
		InvalidArgument|"segment-boundary-mask" is 18446744073709551615|'segment-boundary-mask': <uint64 18446744073709551615>
		InvalidArgument|"max-discard-size" is 2147483648, but target loop takes at most 268435456|'max-discard-size': <uint64 2147483648>
		InvalidArgument|"max-discard-size" is 2048, less than the discard granularity|'max-discard-size': <uint64 2048>
		InvalidArgument|"max-discard-size" is 4096, but .* read-only|'read-only': <true>, 'max-discard-size': <uint64 4096>
		InvalidArgument|"discard-granularity" is 1000|'discard-granularity': <uint32 1000>
		InvalidArgument|"discard-granularity" is 512, which is less than the physical|'discard-granularity': <uint32 512>
		InvalidArgument|"discard-granularity".*needs a maximal|'max-discard-size': <uint64 0>, 'discard-granularity': <uint32 4096>
		InvalidArgument|"discard-alignment" is 4096, which is not less|'discard-granularity': <uint32 4096>, 'discard-alignment': <uint32 4096>
		InvalidArgument|"max-write-zeroes-size" is 134217728, but target loop takes at most 16777216|'max-write-zeroes-size': <uint64 134217728>
		InvalidArgument|"volatile-cache" is false|'volatile-cache': <false>
		InvalidArgument|"volatile-cache" wants|'volatile-cache': <'no'>
		InvalidArgument|"fua" is 1, which needs a volatile cache|null:'size': <uint64 1048576>, 'fua': <true>
		InvalidArgument|"max-discard-size" is 2147483648|null:'size': <uint64 1048576>, 'max-discard-size': <uint64 2147483648>
		InvalidArgument|"rotational" is given twice|'rotational': <true>, 'rotational': <false>
	E
)
answers=$(cut -d'|' -f 3- <<< "$cases" | sed -E "s/^null:(.*)/Manager AddDevice ('null', {\1})/; t
	s|^(.*)|Manager AddDevice ('loop', {'file': <'$file'>, \1})|" | as alice "$BUS_CALL" --script || true)
assert_eq "$(wc -l <<< "$answers")" "$(wc -l <<< "$cases")" "the number of answers"
while IFS='|' read -r -u 3 name text call && IFS= read -r -u 4 answer; do
	problem=$(assert_refusal "$name" "$text" "$answer" 2>&1) || complain "$call: $problem"
done 3<<< "$cases" 4<<< "$answers"

# And by the client, with the words of the option.
for words in "--io-min 3000|io-min" "--fua --no-fua|exclude" "--fua=no|--fua" "--virt-boundary-mask 4K|--virt-boundary-mask" \
	"--no-volatile-cache|volatile-cache" "--max-discard-size 2G|max-discard-size" "--chunk-size -1|--chunk-size"; do
	# shellcheck disable=SC2086
	answer=$(expect_fail as alice ublk-client add "${loop[@]}" ${words%|*})
	grep -qe "${words#*|}" <<< "$answer" || complain "${words%|*}: $answer"
	echo "$answer" | head -n 1
	# shellcheck disable=SC2086
	answer=$(expect_fail as alice timeout 20 ublk-client serve "${loop[@]}" ${words%|*})
	grep -qe "${words#*|}" <<< "$answer" || complain "serve ${words%|*}: $answer"
done
assert_nothing_left
[ $wrong = 0 ] || fail "$wrong things are not as they should be"
