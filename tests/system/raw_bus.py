# SPDX-License-Identifier: LGPL-2.1-or-later
"""D-Bus messages to ublkd without a library, which would make them right, and would answer by itself. Little endian."""
import os
import socket
import struct

CALL, RETURN, ERROR = 1, 2, 3


def aligned(data, size):
    return data + bytes(-len(data) % size)


def string(text):
    return struct.pack('<I', len(text)) + text.encode() + b'\0'


def field(code, signature, value):
    """A signature of one letter ends where every value may begin."""
    return bytes([code, 1]) + signature.encode() + b'\0' + value


def assemble(kind, fields, body=b'', serial=2, flags=0, length=None):
    header = b''
    for one in fields:
        header = aligned(header, 8) + one
    return aligned(struct.pack('<cBBBII', b'l', kind, flags, 1, len(body) if length is None else length, serial)
                   + struct.pack('<I', len(header)) + header, 8) + body


def message(member, signature, body, fds=None, extra=(), kind=CALL, serial=2, flags=0, length=None,
            path='/org/ublk1/Manager', interface='org.ublk1.Manager'):
    fields = [field(1, 'o', string(path)), field(2, 's', string(interface)), field(3, 's', string(member)),
              field(6, 's', string('org.ublk1')), field(8, 'g', bytes([len(signature)]) + signature.encode() + b'\0')]
    if fds is not None:
        fields.append(field(9, 'u', struct.pack('<I', fds)))
    return assemble(kind, fields + list(extra), body, serial, flags, length)


def answer(sender, serial, signature='', body=b''):
    """To a call of that serial number by `sender`."""
    fields = [field(6, 's', string(sender)), field(5, 'u', struct.pack('<I', serial))]
    if signature:
        fields.append(field(8, 'g', bytes([len(signature)]) + signature.encode() + b'\0'))
    return assemble(RETURN, fields, body, serial=1000 + serial, flags=1)


def connect():
    bus = socket.socket(socket.AF_UNIX)
    bus.settimeout(60)
    bus.connect('/run/dbus/system_bus_socket')
    bus.sendall(b'\0AUTH EXTERNAL ' + str(os.getuid()).encode().hex().encode() + b'\r\nNEGOTIATE_UNIX_FD\r\n')
    said = b''
    while said.count(b'\r\n') < 2:
        said += bus.recv(4096)
    assert said.startswith(b'OK') and b'AGREE_UNIX_FD' in said, said
    bus.sendall(b'BEGIN\r\n')
    name = string('org.freedesktop.DBus')
    bus.sendall(assemble(CALL, [field(1, 'o', string('/org/freedesktop/DBus')), field(2, 's', name), field(3, 's', string('Hello')),
                                field(6, 's', name)], serial=1))
    # the answer, and the signal that it has a name
    for _ in range(2):
        read(bus)
    return bus


def read(bus):
    """The next message: its kind, serial, fields {code: value} and body. Descriptors that come along are lost."""
    def take(size):
        data = b''
        while len(data) < size:
            more = bus.recv(size - len(data))
            if not more:
                raise ConnectionError('the bus has closed the connection')
            data += more
        return data

    _, kind, _, _, length, serial, size = struct.unpack('<cBBBIII', take(16))
    header = take(size + -size % 8)
    body = take(length)
    fields, at = {}, 0
    while at < size:
        code, letter = header[at], chr(header[at + 2])
        at += 4
        if letter == 'u':
            fields[code] = struct.unpack_from('<I', header, at)[0]
            at += 4
        else:
            wide = letter != 'g'
            count = struct.unpack_from('<I', header, at)[0] if wide else header[at]
            at += 4 if wide else 1
            fields[code] = header[at:at + count].decode()
            at += count + 1
        at += -at % 8
    return kind, serial, fields, body
