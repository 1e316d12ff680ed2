# SPDX-License-Identifier: LGPL-2.1-or-later
"""A caller of ublkd that reads, and lets ublkd think that it does not: it does not answer Ping until it is told to (by a line)."""
import struct

import raw_bus

NONE = struct.pack('<I', 0)
bus = raw_bus.connect()
pings, answers = [], {}


def call(serial, member, **where):
    """The error's name or "ok", and the body."""
    bus.sendall(raw_bus.message(member, 'a{sv}', raw_bus.aligned(NONE, 8), serial=serial, **where))
    while serial not in answers:
        kind, number, fields, body = raw_bus.read(bus)
        if kind == raw_bus.CALL:
            # The bus believes an answer by its number: nobody may guess it from those that others get.
            assert fields[3] == 'Ping' and number >= 1 << 31, (fields, number)
            pings.append((fields[7], number))
        elif kind in (raw_bus.RETURN, raw_bus.ERROR):
            answers[fields[5]] = fields.get(4, 'ok'), body
    return answers[serial]


name, path = call(2, 'CreateDevice')
assert name == 'ok', answers
path = path[4:4 + struct.unpack_from('<I', path)[0]].decode()


def open_report(serial):
    return call(serial, 'OpenReport', path=path, interface='org.ublk1.Device')[0]


told = [open_report(serial) for serial in range(3, 23)]
print(told.count('ok'), *set(told) - {'ok'})
input()

for sender, number in pings:
    bus.sendall(raw_bus.answer(sender, number))
pings.clear()
print(open_report(30))
input()

# What is too long to be an answer to Ping is not taken for one.
for serial in range(31, 51):
    open_report(serial)
for sender, number in pings:
    bus.sendall(raw_bus.answer(sender, number, 's', raw_bus.string('x' * 5000)))
print(open_report(51))
input()
