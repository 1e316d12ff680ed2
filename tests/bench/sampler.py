# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which functions the test VM's processor is in, kernel and programs alike.

A guest in QEMU's own emulation has no counters that perf could use, so the host looks: it asks QEMU every few milliseconds for the
registers. The share of looks that find a function is its share of QEMU's time, which is not quite its share of the instructions:
one that copies memory takes longer than one that adds.
"""
import bisect
import collections
import json
import os
import re
import socket
import subprocess
import threading
import time

INTERVAL = 0.004
IDLE = re.compile(r'idle|safe_halt|mwait|poll_idle')


class Sampler:
    """Between start() and stop() one thread collects (instruction pointer, user mode?, page tables)."""

    def __init__(self, path):
        self.path = path
        self.samples = []
        self.thread = None
        self.running = False

    def options(self):
        return f'-qmp unix:{self.path},server=on,wait=off'

    def start(self):
        self.samples = []
        self.running = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        self.running = False
        self.thread.join()
        return self.samples

    def _run(self):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            stream = connection.makefile('rw')

            def ask(command, **arguments):
                stream.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
                stream.flush()
                while True:
                    answer = json.loads(stream.readline())
                    if 'return' in answer:
                        return answer['return']
                    if 'error' in answer:
                        raise OSError(answer['error'])

            stream.readline()
            ask('qmp_capabilities')
            while self.running:
                text = ask('human-monitor-command', **{'command-line': 'info registers'})
                found = re.search(r'RIP=(\w+).*?CPL=(\d).*?CR3=(\w+)', text, re.DOTALL)
                if found:
                    # The low bits of CR3 number the process's address translations.
                    self.samples.append((int(found[1], 16), found[2] == '3', int(found[3], 16) & ~0xfff))
                time.sleep(INTERVAL)


class Symbols:
    """Names of addresses: a sorted table of starts."""

    def __init__(self, pairs):
        self.table = sorted(pairs)
        self.starts = [start for start, _name in self.table]

    def find(self, address):
        index = bisect.bisect_right(self.starts, address) - 1
        return self.table[index][1] if index >= 0 else '?'


def kernel_symbols(text):
    pairs = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] in 'tTwW':
            pairs.append((int(words[0], 16), words[2] + (' ' + words[3] if len(words) > 3 else '')))
    return Symbols(pairs)


def program_symbols(path):
    listing = subprocess.run(['nm', '--defined-only', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return Symbols([(int(line.split()[0], 16), line.split()[2]) for line in listing.splitlines()
                    if len(line.split()) == 3 and line.split()[1] in 'tTwW'])


class Maps:
    """The memory of one process, from /proc/PID/maps; `programs`: {name of a file in it: Symbols}."""

    def __init__(self, name, text, programs):
        self.name = name
        self.programs = programs
        self.ranges = []
        bases = {}
        for line in text.splitlines():
            words = line.split(None, 5)
            start, end = (int(word, 16) for word in words[0].split('-'))
            file = os.path.basename(words[5].strip()) if len(words) > 5 else 'anonymous'
            bases.setdefault(file, start - int(words[2], 16))
            self.ranges.append((start, end, file, bases[file]))

    def find(self, address):
        for start, end, file, base in self.ranges:
            if start <= address < end:
                if file in self.programs:
                    return f'{file}: {self.programs[file].find(address - base)}'
                return file
        return None


def attribute(samples, kernel, processes):
    """[(who, function, share of what is not idle)], the largest first, and {who: share}."""
    owners = {}
    for address, user, tables in samples:
        if user:
            for maps in processes:
                if maps.find(address):
                    owners[tables] = maps.name
    counted = collections.Counter()
    for address, user, tables in samples:
        who = owners.get(tables, 'other')
        if user:
            names = [maps.find(address) for maps in processes if maps.name == who]
            what = names[0] if names and names[0] else 'program'
        else:
            what = kernel.find(address)
            if IDLE.search(what):
                continue
            what = 'kernel: ' + what
        counted[who, what] += 1
    total = sum(counted.values()) or 1
    shares = collections.Counter()
    for (who, _what), number in counted.items():
        shares[who] += number
    return ([(who, what, number / total) for (who, what), number in counted.most_common()],
            {who: number / total for who, number in shares.items()}, total)
