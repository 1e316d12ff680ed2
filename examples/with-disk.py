#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""with-disk.py SIZE COMMAND… : runs COMMAND with a disk of SIZE bytes (or 64M, 2G) in memory. $DISK is its path.

Ends with the command's status; with 4 if the user may not make a device, with 5 if that would be one too many or too large.

How a program uses ublkd with nothing but D-Bus, here GLib's (Debian's python3-gi): it makes a device over a file that has no path,
follows its signals while it is used, and deletes it. docs/api.md documents each call.
"""
import os
import signal
import sys

from gi.repository import Gio, GLib

SERVICE = 'org.ublk1'
MANAGER = 'org.ublk1.Manager'
DEVICE = 'org.ublk1.Device'

# ublkd's errors have names for programs and messages for people. The statuses are ublk-client's.
STATUS = {
    'org.freedesktop.DBus.Error.AccessDenied': 4,
    'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired': 4,
    'org.ublk1.Error.InvalidArgument': 2,
    'org.ublk1.Error.NotFound': 3,
    'org.freedesktop.DBus.Error.UnknownObject': 3,
    'org.ublk1.Error.LimitExceeded': 5,
    'org.ublk1.Error.TimedOut': 6,
}


def read_size(text):
    try:
        factor = {'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}.get(text[-1:])
        return int(text[:-1]) * factor if factor else int(text)
    except ValueError:
        sys.exit(f'{text} is no size: a number of bytes, or one with K, M or G')


class Disk:
    def __init__(self, size):
        # The cache of ublkd's objects. It is filled first, and kept up to date by the main loop: no change can be missed.
        self.objects = Gio.DBusObjectManagerClient.new_for_bus_sync(
            Gio.BusType.SYSTEM, Gio.DBusObjectManagerClientFlags.NONE, SERVICE, '/org/ublk1', None, None, None)
        memory = os.memfd_create('disk')
        os.truncate(memory, size)
        descriptors = Gio.UnixFDList()
        # A descriptor is an index into the message's list of descriptors; the list has a copy of its own.
        options = {'file': GLib.Variant('h', descriptors.append(memory))}
        os.close(memory)
        # Returns when the device can be used: there is nothing to wait for.
        reply = self.call('/org/ublk1/Manager', MANAGER, 'AddDevice', GLib.Variant('(sa{sv})', ('loop', options)), descriptors)
        self.object, = reply.unpack()
        self.path, self.created = self.property('BlockDevice'), self.property('CreatedAt')

    def call(self, path, interface, method, parameters, descriptors=None):
        # Who needs a password for it is asked, and may take as long as they like.
        return self.objects.get_connection().call_with_unix_fd_list_sync(
            SERVICE, path, interface, method, parameters, None, Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION, GLib.MAXINT32,
            descriptors, None)[0]

    def property(self, name):
        parameters = GLib.Variant('(ss)', (DEVICE, name))
        return self.call(self.object, 'org.freedesktop.DBus.Properties', 'Get', parameters).unpack()[0]

    def follow(self, changed, gone):
        """Calls changed(property, value) and gone(), from the main loop."""
        def look(*_):
            # Without an owner of the name ublkd is being restarted, and devices go on.
            if self.objects.get_name_owner():
                interface = self.objects.get_interface(self.object, DEVICE)
                # The same object may be another device by now; the time of its making tells.
                if not interface or interface.get_cached_property('CreatedAt').unpack() != self.created:
                    gone()

        def tell(_manager, the_object, _interface, values, _invalidated):
            if the_object.get_object_path() == self.object:
                for name, value in values.unpack().items():
                    changed(name, value)

        self.objects.connect('object-removed', look)
        self.objects.connect('notify::name-owner', look)
        self.objects.connect('interface-proxy-properties-changed', tell)

    def delete(self):
        # With the time of its making, so that it can be no other device that has got the number since.
        options = {'created-at': GLib.Variant('t', self.created)}
        self.call(self.object, DEVICE, 'Delete', GLib.Variant('(a{sv})', (options,)))


def run(disk, command):
    """The command's status, as a shell says it."""
    loop = GLib.MainLoop()
    launcher = Gio.SubprocessLauncher.new(Gio.SubprocessFlags.NONE)
    launcher.setenv('DISK', disk.path, True)
    process = launcher.spawnv(command)
    lost = False

    def changed(name, value):
        print(f'{disk.path}: {name} is {value}', file=sys.stderr)

    def gone():
        nonlocal lost
        lost = True
        print(f'{disk.path} has gone: its server has ended, or somebody has deleted it', file=sys.stderr)
        process.send_signal(signal.SIGTERM)

    disk.follow(changed, gone)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: process.send_signal(number))
    process.wait_async(None, lambda *_: loop.quit())
    loop.run()
    if lost:
        return 1, lost
    return process.get_exit_status() if process.get_if_exited() else 128 + process.get_term_sig(), lost


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        disk = Disk(read_size(sys.argv[1]))
        lost = False
        try:
            status, lost = run(disk, sys.argv[2:])
        finally:
            if not lost:
                disk.delete()
        return status
    except GLib.Error as error:
        name = Gio.DBusError.get_remote_error(error)
        print(error.message.removeprefix(f'GDBus.Error:{name}: '), file=sys.stderr)
        return STATUS.get(name, 1)


if __name__ == '__main__':
    sys.exit(main())
