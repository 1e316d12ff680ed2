#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""soak-users.py [--kill-ublkd] SECONDS SEED DIRECTORY HELPERS

For that long alice, bob and carol make devices, write to them and let them end, in all ways at random: see Life, which is the one
thing that a user does again and again, here in three threads for each user. With --kill-ublkd ublkd is killed all the while.

Run by `soak`, as root. HELPERS is where the programs of this folder were built, DIRECTORY an empty one for files. It ends with 1 if
anything happened that must not: an answer that nothing explains, a program that hangs, a write that was acknowledged and is
not in the backing file. The same SEED makes each thread choose the same; what they meet depends on the moment.
"""
import os
import pwd
import random
import signal
import subprocess
import sys
import threading
import time

USERS = ('alice', 'bob', 'carol')
THREADS = 3
MIB = 1 << 20
# The writer goes round in so many blocks of 4 KiB.
BLOCKS = 64
# Whatever ends at all ends by then: ublkd has deadlines.
PATIENCE = 120
# A call this soon after ublkd was killed may still notice.
AFTERMATH = 5

# ublk-client's exit statuses for refusals that are part of the game: a limit (beyond it a password is asked for, and nobody is
# there to type it), a name that is taken.
NOT_AUTHORIZED, BUSY, NOT_FOUND = 4, 5, 3


class Unexpected(Exception):
    pass


class Soak:
    """What the threads share."""

    def __init__(self, seconds, seed, directory, helpers):
        self.seed = seed
        self.directory = directory
        self.helpers = helpers
        self.until = time.monotonic() + seconds
        self.lock = threading.Lock()
        self.counts = {}
        self.failures = []
        self.ublkd_killed = float('-inf')
        features = subprocess.run(['ublk-client', 'features'], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.can_resize = any(line.split()[:2] == ['update-size', 'yes'] for line in features.splitlines())

    def over(self):
        return time.monotonic() >= self.until or self.failures

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def fail(self, who, text):
        with self.lock:
            self.failures.append(f'{who}: {text}')

    def undisturbed(self, since):
        """ublkd was not killed during a call that began then, nor shortly before."""
        return self.ublkd_killed < since - AFTERMATH

    def helper(self, name):
        return os.path.join(self.helpers, name)


class User(threading.Thread):
    def __init__(self, soak, user, index):
        super().__init__(name=f'{user}{index}')
        self.soak = soak
        self.account = pwd.getpwnam(user)
        self.random = random.Random(f'{soak.seed} {user} {index}')
        self.directory = os.path.join(soak.directory, self.name)
        os.mkdir(self.directory)
        os.chown(self.directory, self.account.pw_uid, self.account.pw_gid)

    def run(self):
        number = 0
        try:
            while not self.soak.over():
                number += 1
                Life(self, number).live()
        except Unexpected as failure:
            self.soak.fail(self.name, failure)
        except Exception as failure:  # pylint: disable=broad-except
            self.soak.fail(self.name, repr(failure))

    def spawn(self, *command, **options):
        """The program, as the user."""
        return subprocess.Popen(
            command, user=self.account.pw_uid, group=self.account.pw_gid,
            extra_groups=os.getgrouplist(self.account.pw_name, self.account.pw_gid), cwd=self.account.pw_dir,
            env={'PATH': '/usr/bin:/bin', 'LANG': 'C.UTF-8', 'HOME': self.account.pw_dir}, text=True, **options)

    def client(self, *arguments):
        """ublk-client's status and what it said, and whether ublkd was there all the time."""
        since = time.monotonic()
        process = self.spawn('ublk-client', *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = finish(process, f'ublk-client {" ".join(arguments)}')
        return process.returncode, output.strip(), self.soak.undisturbed(since)


def finish(process, what):
    """Its output, when it has ended."""
    try:
        return process.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise Unexpected(f'{what} has not ended after {PATIENCE} s') from None


class Life:
    """One device: it is made, written to, and comes to an end, and what was acknowledged is in the backing file."""

    def __init__(self, user, number):
        self.user = user
        self.soak = user.soak
        self.random = user.random
        self.own_name = f'{user.name}-{number}'
        self.file = os.path.join(user.directory, f'{number}.img')
        self.log = os.path.join(user.directory, f'{number}.log')
        self.node = None
        self.server = None  # a pidfd
        self.pid = None  # its number
        self.process = None  # ublk-client's that runs the server

    def live(self):
        with open(self.file, 'wb') as file:
            file.truncate(MIB)
            os.fchown(file.fileno(), self.user.account.pw_uid, self.user.account.pw_gid)
        try:
            self.random.choice((self.managed, self.managed, self.managed, self.served, self.served, self.created))()
        finally:
            if self.server is not None:
                os.close(self.server)
            for path in (self.file, self.log):
                if os.path.exists(path):
                    os.unlink(path)

    def options(self):
        """Everything that may be chosen is chosen, so that the next choices do not depend on the answers."""
        name = self.random.choice((None, self.own_name, self.own_name, 'everybodys'))
        return ['-t', 'loop', '-f', self.file, '-q', self.random.choice('124'), '-d', self.random.choice(('8', '32', '128')),
                *self.random.choice(((), ('--buffered',))), *(('--name', name) if name else ())]

    # --- Three ways to make one.

    def managed(self):
        """Its server is run by systemd."""
        options, end = self.options(), self.random.choice((self.delete, self.stop, self.kill, self.terminate, self.freeze))
        status, said, undisturbed = self.user.client('add', *options)
        if status == 0:
            self.soak.count('managed devices')
            self.node = said.splitlines()[-1]
            self.use(end)
        elif status in (NOT_AUTHORIZED, BUSY):
            self.soak.count('refusals')
        elif undisturbed:
            raise Unexpected(f'add {" ".join(options)}: status {status}: {said}')
        else:
            self.soak.count('calls that met the end of ublkd')

    def served(self):
        """Its server is a child of ublk-client's."""
        options = self.options()
        end = self.random.choice((self.delete, self.kill, self.interrupt, self.abandon))
        since = time.monotonic()
        self.process = self.user.spawn('ublk-client', 'serve', *options, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
        said = line = self.process.stdout.readline()
        # The server says something too.
        while line and not line.startswith('/dev/ublkb'):
            line = self.process.stdout.readline()
            said += line
        if line:
            self.soak.count('served devices')
            self.node = line.strip()
            self.use(end)
            finish(self.process, 'ublk-client serve')
            return
        said += finish(self.process, 'ublk-client serve')
        if self.process.returncode in (NOT_AUTHORIZED, BUSY):
            self.soak.count('refusals')
        elif self.soak.undisturbed(since):
            raise Unexpected(f'serve {" ".join(options)}: status {self.process.returncode}: {said}')
        else:
            self.soak.count('calls that met the end of ublkd')

    def created(self):
        """It never gets a server, and goes when its creator leaves."""
        patience, signal_number = self.random.uniform(0, 1), self.random.choice((signal.SIGTERM, signal.SIGKILL))
        process = self.user.spawn(self.soak.helper('bus-call'), '--hold', 'Manager', 'CreateDevice', '(@a{sv} {},)',
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(patience)
        process.send_signal(signal_number)
        finish(process, 'bus-call')
        self.soak.count('devices without a server')

    # --- Use.

    def use(self, end):
        pause = self.random.uniform(0, 2)
        resize = self.random.random() < 0.2
        number = self.node.removeprefix('/dev/ublkb')
        self.find_server()
        # The kernel's own end for a server that takes 30 s is not what is tested here, and a busy machine may take as long. But it is
        # the only end of one that is stopped, if ublkd, which asked for the device's end, does not live to kill it.
        if end != self.freeze:
            with open(f'/sys/block/ublkb{number}/queue/io_timeout', 'w', encoding='ascii') as timeout:
                timeout.write('600000')
        with open(self.log, 'w', encoding='ascii') as log:
            writer = self.user.spawn(self.soak.helper('numbered-writes'), self.node, str(BLOCKS), stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=subprocess.PIPE)
        # Only once it has the device open may this one go: the number may be another's a moment later.
        limit = time.monotonic() + PATIENCE
        while os.path.getsize(self.log) == 0 and writer.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
        if resize and self.soak.can_resize:
            self.call('resize', *(('--grow-file', self.node, '2M') if self.process is None else (self.node, '512K')))
        time.sleep(pause)
        end()
        # A file descriptor for errors, nothing on it as a rule.
        try:
            trouble = writer.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            writer.kill()
            raise Unexpected(f'the writer of {self.node} hangs after {end.__name__}') from None
        if writer.returncode != 0:
            raise Unexpected(f'the writer of {self.node}: {trouble.strip()}')
        self.check(end)

    def ask_kernel(self):
        """Whose the node is, and who serves it; also while there is no ublkd."""
        info = subprocess.run([self.soak.helper('control-command'), 'info', self.node.removeprefix('/dev/ublkb')],
                              stdout=subprocess.PIPE, text=True, check=False).stdout
        words = dict(word.split('=', 1) for word in info.split() if '=' in word)
        return int(words.get('uid', -1)), int(words.get('pid', -1)), info.strip()

    def find_server(self):
        uid, self.pid, info = self.ask_kernel()
        if self.pid <= 1 or uid != self.user.account.pw_uid:
            raise Unexpected(f'{self.node} is new, and the kernel says: {info}')
        self.server = os.pidfd_open(self.pid)

    def check(self, end):
        with open(self.log, encoding='ascii') as log:
            check = subprocess.run([self.soak.helper('numbered-writes'), '--check', self.file, str(BLOCKS)], stdin=log,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if check.returncode != 0:
            raise Unexpected(f'after {end.__name__} of {self.node}: {check.stdout.strip()}')
        self.soak.count('acknowledged writes', int(check.stdout.split()[0]))

    # --- Ways for it to end.

    def call(self, *arguments):
        """What must succeed, unless ublkd was killed meanwhile: then again, until ublkd has an answer."""
        limit = time.monotonic() + PATIENCE
        disturbed = False
        while True:
            status, said, undisturbed = self.user.client(*arguments)
            disturbed = disturbed or not undisturbed
            if status == 0:
                return
            # This one or an earlier one was heard, but not answered; the number may be another device's by now.
            if disturbed and (status == NOT_FOUND or self.ask_kernel()[1] != self.pid):
                return
            if undisturbed or time.monotonic() > limit:
                raise Unexpected(f'{" ".join(arguments)}: status {status}: {said}')
            self.soak.count('calls that met the end of ublkd')
            time.sleep(0.2)

    def delete(self):
        self.call('del', self.node)

    def stop(self):
        self.call('stop', self.node)

    def kill(self):
        self.signal(signal.SIGKILL)

    def terminate(self):
        self.signal(signal.SIGTERM)

    def freeze(self):
        """A server that does not answer does not keep its device from being deleted."""
        self.signal(signal.SIGSTOP)
        self.delete()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def abandon(self):
        self.process.kill()

    def signal(self, number):
        signal.pidfd_send_signal(self.server, number)


def kill_ublkd(soak):
    """Again and again, after some seconds of work, and it must come back each time."""
    chance = random.Random(f'{soak.seed} ublkd')
    while not soak.over():
        time.sleep(min(chance.uniform(1, 8), max(0, soak.until - time.monotonic())))
        pid = int(subprocess.run(['systemctl', 'show', '-P', 'MainPID', 'ublkd'], stdout=subprocess.PIPE, text=True, check=True).stdout)
        if pid <= 1:
            continue
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        soak.ublkd_killed = time.monotonic()
        signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)
        soak.count('ublkd killed')
        answer = subprocess.run(['busctl', '--system', '--timeout', str(PATIENCE), 'get-property', 'org.ublk1', '/org/ublk1/Manager',
                                 'org.ublk1.Manager', 'Version'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        # It was not there, or went away, when it was asked: once more is enough.
        if answer.returncode != 0 and subprocess.run(['systemctl', 'is-active', 'ublkd'], stdout=subprocess.DEVNULL,
                                                     check=False).returncode != 0:
            time.sleep(5)
            if subprocess.run(['systemctl', 'is-active', 'ublkd'], stdout=subprocess.DEVNULL, check=False).returncode != 0:
                soak.fail('ublkd', f'does not come back: {answer.stderr.strip()}')
        soak.ublkd_killed = time.monotonic()


def main():
    arguments = sys.argv[1:]
    killing = arguments[:1] == ['--kill-ublkd']
    seconds, seed, directory, helpers = arguments[killing:]
    soak = Soak(float(seconds), seed, directory, helpers)
    threads = [User(soak, user, index) for user in USERS for index in range(THREADS)]
    if killing:
        threads.append(threading.Thread(target=kill_ublkd, args=(soak,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(', '.join(f'{n} {what}' for what, n in sorted(soak.counts.items())))
    for failure in soak.failures:
        print(f'FAILED: {failure}', file=sys.stderr)
    return 1 if soak.failures or not soak.counts.get('acknowledged writes') else 0


sys.exit(main())
