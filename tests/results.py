# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what the runners in the test machines print, and counts.

    plan N                 how many tests there are
    ok   NAME  1.2s
    skip NAME  reason
    FAIL NAME  1.2s
        | output of the test, each line behind a bar, so that no test can write a result
    end

A runner that stops before its end, runs another number of tests than it planned, runs none, or has a status that does not fit is
a failure of its own: nothing that did not run counts as passed.
"""
import re
import sys
import threading

RESULT = re.compile(r'^(ok|FAIL|skip) +(\S+) *(.*)$')


class Results:
    """The counts of a whole run; printing is serialized, for stages that run at the same time."""

    def __init__(self, stream=sys.stdout):
        self.passed = self.failed = self.skipped = 0
        self.lock = threading.Lock()
        self.stream = stream

    def add(self, kind, name, remark='', output=()):
        with self.lock:
            if kind == 'ok':
                self.passed += 1
            elif kind == 'skip':
                self.skipped += 1
            else:
                self.failed += 1
            print('\n'.join([f'{kind:4} {name}  {remark}'.rstrip(), *output]), file=self.stream, flush=True)

    def summary(self):
        text = f'{self.passed} passed, {self.failed} failed'
        return text + (f', {self.skipped} skipped' if self.skipped else '')


class Runner:
    """One runner's output, line by line; everything is reported as PREFIX/NAME."""

    def __init__(self, results, prefix):
        self.results = results
        self.prefix = prefix
        self.plan = None
        self.ended = False
        self.count = self.failures = 0
        self.pending = None
        self.noise = []

    def line(self, line):
        line = line.rstrip('\r\n')
        if self.pending and line.startswith('    |'):
            self.pending[3].append(line)
            return
        self._flush()
        match = RESULT.match(line)
        if match and not self.ended and self.plan is not None:
            kind, name, remark = match.groups()
            self.count += 1
            self.failures += kind == 'FAIL'
            self.pending = (kind, f'{self.prefix}/{name}', remark, [])
            # What failed has output; all else is told at once, or it would look as if it were not done.
            if kind != 'FAIL':
                self._flush()
        elif re.match(r'^plan \d+$', line) and self.plan is None:
            self.plan = int(line.split()[1])
        elif line == 'end' and self.plan is not None:
            self.ended = True
        elif line:
            self.noise.append('    | ' + line)

    def _flush(self):
        if self.pending:
            self.results.add(*self.pending)
            self.pending = None

    def finish(self, status, messages=()):
        """The runner is gone: what its status and the machine's own words (lines) add."""
        self._flush()
        problem = None
        if self.plan is None:
            problem = f'did not start (status {status})'
        elif not self.ended:
            problem = f'was cut off after {self.count} of {self.plan} tests (status {status})'
        elif self.count != self.plan:
            problem = f'planned {self.plan} tests, told of {self.count}'
        elif self.count == 0:
            problem = 'ran no test'
        elif (status != 0) != (self.failures > 0) or status > 1:
            problem = f'ended with status {status} after {self.failures} failures'
        if problem:
            self.results.add('FAIL', self.prefix + '/runner', problem,
                             self.noise[-40:] + ['    | ' + line for line in messages])
        elif self.noise:
            print('\n'.join(self.noise[-40:]), file=self.results.stream, flush=True)
