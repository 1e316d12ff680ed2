#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kernel: 6.12
# Messages that no library sends do nothing to ublkd: a header that says another number of descriptors than come, an index in the body
# without a descriptor, fields twice, unknown or of another kind, a body that is cut off or not what its signature says, random bits
# turned. Much of it ends at the bus, which closes the connection; what comes through is refused. No descriptor stays.
. "$(dirname "$0")/devices.sh"

# What ublkd opens once is no leak.
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
pid=$(ublkd_pid)
before=$(descriptors)
since=$(date '+%F %T.%6N')

as alice env PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1 python3 - <<-'P'
	import array, os, random, socket, struct
	from raw_bus import aligned, connect, field, message, string

	def options(handle):
	    entry = string('file') + bytes([1]) + b'h\0'
	    entry = aligned(entry, 4) + struct.pack('<i', handle)
	    # an array's length, then its first entry at a multiple of 8
	    return struct.pack('<I', len(entry)), entry

	def add(handle):
	    length, entry = options(handle)
	    target = string('loop')
	    return aligned(aligned(target, 4) + length, 8) + entry

	# What the bus or ublkd says to it: an error, the end of the connection, or nothing for so many seconds.
	def send(data, fds=(), patience=1):
	    s = connect()
	    answer = b''
	    try:
	        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
	        s.sendmsg([data], control)
	        s.settimeout(patience)
	        while b'.Error.' not in answer:
	            more = s.recv(65536)
	            if not more:
	                return b'closed'
	            answer += more
	        return b'error'
	    except TimeoutError:
	        return b'nothing'
	    except ConnectionError:
	        return b'closed'
	    finally:
	        s.close()

	null = os.open('/dev/null', os.O_RDWR)
	told = {}
	def check(name, data, fds=(), patience=1):
	    told[name] = send(data, fds, patience).decode()

	check('a right one but for the file', message('AddDevice', 'sa{sv}', add(0), 1), [null], 60)
	check('an index and no descriptor', message('AddDevice', 'sa{sv}', add(0)), (), 60)
	check('an index beyond', message('AddDevice', 'sa{sv}', add(1), 1), [null])
	check('an index below', message('AddDevice', 'sa{sv}', add(-1), 1), [null])
	check('one descriptor said, none sent', message('AddDevice', 'sa{sv}', add(0), 1))
	check('none said, one sent', message('AddDevice', 'sa{sv}', add(0), 0), [null])
	check('one said, three sent', message('AddDevice', 'sa{sv}', add(0), 1), [null] * 3)
	check('4 billion said', message('AddDevice', 'sa{sv}', add(0), 0xffffffff), [null])
	check('the number of descriptors twice', message('AddDevice', 'sa{sv}', add(0), 1, [field(9, 'u', struct.pack('<I', 7))]), [null])
	check('an unknown field', message('AddDevice', 'sa{sv}', add(0), 1, [field(77, 'u', struct.pack('<I', 7))]), [null])
	check('an answer to nothing', message('AddDevice', 's', string('x'), None, [field(5, 'u', struct.pack('<I', 7))], kind=2))
	check('an error of nothing', message('AddDevice', 's', string('x'), None,
	                                     [field(5, 'u', struct.pack('<I', 7)), field(4, 's', string('a.b'))], kind=3))
	check('a signal', message('AddDevice', 'sa{sv}', add(0), 1, kind=4), [null])
	check('a type of message that there is not', message('AddDevice', 's', string('x'), kind=9))
	check('no body where there is a signature', message('AddDevice', 'sa{sv}', b'', length=0))
	check('another body than the signature', message('AddDevice', 'sa{sv}', struct.pack('<I', 0xfffffff0) * 4))

	# and a right one with some bits turned
	dice = random.Random(1)
	for i in range(40):
	    data = bytearray(message('AddDevice', 'sa{sv}', add(0), 1))
	    for _ in range(dice.randint(1, 3)):
	        at = dice.randrange(1, len(data))
	        # the lengths in front are left alone: the bus would wait for what they promise
	        if not 4 <= at < 16:
	            data[at] ^= 1 << dice.randrange(8)
	    answer = send(bytes(data), [null]).decode()
	    told['turned bits: ' + answer] = told.get('turned bits: ' + answer, 0) + 1
	for name, answer in told.items():
	    print(name + ':', answer)
	assert told['a right one but for the file'] == told['an index and no descriptor'] == 'error', 'the messages of this test are wrong'
P


assert_eq "$(ublkd_pid)" "$pid" "ublkd's process"
_descriptors_are_back() {
	[ "$(descriptors)" -le "$before" ]
}
wait_until 20 _descriptors_are_back || fail "ublkd had $before descriptors open, now: $(ls -l "/proc/$pid/fd")"
assert_no_complaints "$since"
delete_device alice "$(add_device alice null "{'size': <uint64 1048576>}")"
