#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""silent-agent.py : programs of a user, and the agent that polkit has for them, which never asks anybody for a password.

A line of standard input says what is done:
ask NAME    CreateDevice on the connection NAME, which is made when it is first named
leave NAME  closes that connection

Prints what happens: "ready"; "dialog" when polkit wants a password, "closed" when it takes that back; "NAME ok" or "NAME MESSAGE" for
an answer to a call.
"""
import os

from gi.repository import Gio, GLib

AGENT = '''<node><interface name="org.freedesktop.PolicyKit1.AuthenticationAgent">
<method name="BeginAuthentication"><arg type="s"/><arg type="s"/><arg type="s"/><arg type="a{ss}"/><arg type="s"/><arg type="a(sa{sv})"/></method>
<method name="CancelAuthentication"><arg type="s"/></method>
</interface></node>'''

loop = GLib.MainLoop()
connections = {}
dialogs = {}


def connect():
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    return Gio.DBusConnection.new_for_address_sync(Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM), flags, None, None)


def say(*words):
    print(*words, flush=True)


def on_agent_call(connection, sender, path, interface, method, parameters, invocation):
    if method == 'BeginAuthentication':
        dialogs[parameters[4]] = invocation
        say('dialog')
    else:
        # It may say so twice.
        if dialogs.pop(parameters[0], None):
            say('closed')
        invocation.return_value(None)


def register_agent():
    bus = connect()
    bus.register_object('/agent', Gio.DBusNodeInfo.new_for_xml(AGENT).interfaces[0], on_agent_call, None, None)
    with open('/proc/self/stat') as stat:
        # Field 22; the second one, in parentheses, may have blanks.
        started = int(stat.read().rpartition(')')[2].split()[19])
    subject = ('unix-process', {'pid': GLib.Variant('u', os.getpid()), 'start-time': GLib.Variant('t', started),
                                'uid': GLib.Variant('i', os.getuid())})
    bus.call_sync('org.freedesktop.PolicyKit1', '/org/freedesktop/PolicyKit1/Authority', 'org.freedesktop.PolicyKit1.Authority',
                  'RegisterAuthenticationAgent', GLib.Variant('((sa{sv})ss)', (subject, 'C', '/agent')), None, Gio.DBusCallFlags.NONE, -1, None)
    return bus


def on_answer(connection, result, name):
    try:
        connection.call_finish(result)
        say(name, 'ok')
    except GLib.Error as error:
        if name in connections:
            say(name, error.message)


def on_line(verb, name):
    if verb == 'leave':
        connections.pop(name).close_sync()
        return
    if name not in connections:
        connections[name] = connect()
    connections[name].call('org.ublk1', '/org/ublk1/Manager', 'org.ublk1.Manager', 'CreateDevice', GLib.Variant('(a{sv})', ({},)), None,
                           Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION, GLib.MAXINT, None, on_answer, name)


def on_input(fd, condition):
    lines = os.read(fd, 4096).decode()
    if not lines:
        loop.quit()
    for line in lines.splitlines():
        on_line(*line.split())
    return True


agent = register_agent()
GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, on_input)
say('ready')
loop.run()
