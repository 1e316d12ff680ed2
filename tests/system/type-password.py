#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""type-password.py PASSWORD COMMAND… : the command at a terminal, at which PASSWORD is typed whenever one is asked for; ends with its status."""
import os
import pty
import sys
import termios
import time


def echoes(fd):
    return termios.tcgetattr(fd)[3] & termios.ECHO


pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, typed = b'', 0
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:  # nobody has the other side open any more
        break
    if not some:
        break
    shown += some
    # An agent may ask again for what was wrong. It throws away what was typed before it has switched the echo off.
    while typed < shown.count(b'assword:'):
        while echoes(terminal):
            time.sleep(0.01)
        os.write(terminal, sys.argv[1].encode() + b'\n')
        typed += 1
sys.stdout.buffer.write(shown.replace(b'\r', b''))
print(f'asked: {typed > 0}')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
