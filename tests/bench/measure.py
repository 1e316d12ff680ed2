#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""measure PLAN : makes the devices, one after the other, and lets fio work on them. As root, in the test VM or on a machine of its own.

PLAN is one JSON object, see scripts/bench. Each result is one line on stdout, "@KIND JSON"; what else is printed is for people.
Needs only the standard library of python3-minimal and what the system VM has.
"""
import glob
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import matrix  # noqa: E402

WORK = '/run/ublk-bench'
MIB = 1 << 20
BLOCK = {'4k': 4096, '64k': 64 * 1024, '512k': 512 * 1024}


class Trouble(Exception):
    """Something could not be set up or measured: one sentence."""


class Unavailable(Exception):
    """This machine does not have it."""


def tell(kind, **values):
    print(f'@{kind} {json.dumps(values)}', flush=True)


def run(*command, timeout=60):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout)
    except FileNotFoundError:
        raise Unavailable(f'{command[0]} is not installed')
    except subprocess.TimeoutExpired:
        raise Trouble(f'{" ".join(command)}: not finished after {timeout} s')
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Trouble(f'{" ".join(command)}: status {done.returncode}: {said[-1] if said else "no message"}')
    return done.stdout


def read(path):
    with open(path, errors='replace') as file:
        return file.read()


def write(path, text):
    with open(path, 'w') as file:
        file.write(text)


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f'{what}: not after {seconds} s')
        time.sleep(0.01)


def find_server(number):
    """The process that serves our device `number`, by its command line."""
    for directory in glob.glob('/proc/[0-9]*'):
        try:
            words = read(directory + '/cmdline').rstrip('\0')
        except OSError:
            continue
        if re.fullmatch(rf'([^\0]*/)?ublk-server\0(.*\0)?--id[=\0]{number}(\0.*)?', words, re.DOTALL):
            return int(directory[len('/proc/'):])
    raise Trouble(f'no ublk-server of device {number} is running')


# --- devices


class Device:
    """A block device that is served: .path, .pid (None if no process serves it), and how to get rid of it."""

    def __init__(self, path, remove, pid=None):
        self.path = path
        self.remove = remove
        self.pid = pid
        # 4k random reads ask nothing of a scheduler, and not every subject has the same default.
        scheduler = f'/sys/block/{os.path.basename(path)}/queue/scheduler'
        if os.path.exists(scheduler):
            write(scheduler, 'none')


class Maker:
    def __init__(self, plan):
        self.plan = plan
        self.queues = str(plan['queues'])
        self.ram_disk = False

    def make(self, subject):
        file = self.backing_file(subject.backing) if subject.backing else None
        return getattr(self, 'make_' + subject.maker)(subject, file)

    def user_command(self, *command):
        user = self.plan['user']
        return ['setpriv', '--reuid=' + user, '--regid=' + run('id', '-g', user).strip(), '--init-groups', '--reset-env', *command]

    def as_user(self, *command):
        return run(*self.user_command(*command))

    def make_null_blk(self, _subject, _file):
        if os.path.exists('/sys/module/null_blk'):
            raise Unavailable('null_blk is loaded already, for somebody else')
        run('modprobe', 'null_blk', 'nr_devices=1', 'submit_queues=' + self.queues, 'hw_queue_depth=128')
        wait_for('/dev/nullb0', lambda: os.path.exists('/dev/nullb0'))
        return Device('/dev/nullb0', lambda: run('modprobe', '-r', 'null_blk'))

    def target(self, file):
        return ['-t', 'loop', '-f', file] if file else ['-t', 'null', '--size', '250G']

    def make_managed(self, subject, file):
        """By AddDevice: the server is a unit in the user's slice."""
        path = self.as_user('ublk-client', 'add', *self.target(file), '-q', self.queues, *subject.options).strip()
        return Device(path, lambda: self.as_user('ublk-client', 'del', path), find_server(int(path[len('/dev/ublkb'):])))

    def make_ours(self, subject, file):
        """The same server where this program runs, and its peers and fio with it: see docs/benchmarks.md."""
        name = f'bench-{os.getpid()}'
        link = f'/dev/disk/by-ublk/{pwd.getpwnam(self.plan["user"]).pw_uid}-{name}'
        process = subprocess.Popen(self.user_command('ublk-client', 'serve', *self.target(file), '-q', self.queues, '--name', name,
                                                     *subject.options), stdout=subprocess.DEVNULL)

        def remove():
            self.as_user('ublk-client', 'del', name)
            process.wait(20)

        wait_for(link, lambda: os.path.exists(link) or process.poll() is not None)
        path = os.path.realpath(link, strict=True)
        return Device(path, remove, find_server(int(path[len('/dev/ublkb'):])))

    def make_losetup(self, subject, file):
        run('modprobe', 'loop')
        path = run('losetup', '--find', '--show', *subject.options, file).strip()
        if subject.options and read(f'/sys/block/{os.path.basename(path)}/loop/dio').strip() != '1':
            run('losetup', '-d', path)
            raise Unavailable(f'the loop driver does no direct I/O on {subject.backing}')
        return Device(path, lambda: run('losetup', '-d', path))

    def make_kublk(self, subject, file):
        kublk = self.plan['kublk']
        if not kublk or not os.path.exists(kublk):
            raise Unavailable('there is no kublk')
        if '--batch' in subject.options and 'BATCH_IO' not in run(kublk, 'features'):
            raise Unavailable('the driver has no batch commands')
        said = run(kublk, 'add', '-t', subject.family, '-q', self.queues, '-d', '128', *subject.options, *([file] if file else []))
        found = re.search(r'dev id (\d+):.*daemon pid (\d+) flags \S+ state LIVE', said, re.DOTALL)
        if not found:
            raise Trouble('kublk add said: ' + said.strip())
        path = '/dev/ublkb' + found[1]
        wait_for(path, lambda: os.path.exists(path))
        return Device(path, lambda: run(kublk, 'del', '-n', found[1]), int(found[2]))

    def backing_file(self, kind):
        """Written in full once, so that no subject is the one for whom blocks are allocated."""
        directory = f'{WORK}/{kind}'
        size = self.plan['file_mib']
        if not os.path.ismount(directory):
            os.makedirs(directory)
            if kind == 'tmpfs':
                run('mount', '-t', 'tmpfs', '-o', f'size={size + 32}m,mode=755', 'tmpfs', directory)
            else:
                # On a RAM disk: the figures are of servers, not of disks, and only its time is the virtual one.
                if os.path.exists('/sys/module/brd'):
                    os.rmdir(directory)
                    raise Unavailable('there are RAM disks already, somebody else may be using them')
                self.ram_disk = True
                run('modprobe', 'brd', 'rd_nr=1', f'rd_size={(size + 32) * 1024}')
                run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,nodiscard', '-O', '^has_journal', '-m', '0', '/dev/ram0')
                run('mount', '/dev/ram0', directory)
            file = directory + '/file'
            with open(file, 'wb') as stream:
                for number in range(size):
                    stream.write(number.to_bytes(8, 'big') * (MIB // 8))
                stream.flush()
                os.fsync(stream.fileno())
            shutil.chown(file, self.plan['user'])
        return directory + '/file'

    def unmake_backing_files(self):
        for kind in 'tmpfs', 'ext4':
            if os.path.ismount(f'{WORK}/{kind}'):
                run('umount', f'{WORK}/{kind}')
        if self.ram_disk:
            run('modprobe', '-r', 'brd')
        shutil.rmtree(WORK, ignore_errors=True)


# --- fio


def fio_command(device, cell, ios=None, seconds=None, seed=1):
    """One run, either of that many requests or that long."""
    command = ['fio', '--name=bench', '--output-format=json', '--filename=' + device.path, '--rw=' + cell.rw, '--bs=' + cell.block,
               f'--iodepth={cell.depth}', '--ioengine=' + cell.engine, '--direct=1', '--norandommap=1', f'--randseed={seed}',
               f'--numjobs={cell.jobs}', '--group_reporting=1', '--thread=1']
    if seconds:
        command += ['--time_based=1', f'--runtime={seconds}']
    else:
        # Not --number_ios alone: sequential jobs would end at the device's end.
        command += [f'--io_size={max(1, ios // cell.jobs) * BLOCK[cell.block]}']
    return command


def fio(device, cell, **how):
    """{ios, msec, iops, …} of one run."""
    return fio_result(cell, run(*fio_command(device, cell, **how), timeout=600))


def fio_result(cell, said):
    job = json.loads(said[said.index('{'):])['jobs'][0]
    way = job['read' if 'read' in cell.rw else 'write']
    if job['error'] or not way['total_ios'] or not way['runtime']:
        raise Trouble(f'fio error {job["error"]}, {way["total_ios"]} requests in {way["runtime"]} ms')
    return {
        'ios': way['total_ios'], 'msec': way['runtime'], 'iops': round(way['total_ios'] * 1000 / way['runtime'], 1),
        'mb_per_s': round(way['io_bytes'] / way['runtime'] / 1000, 1), 'latency_us': round(way['lat_ns']['mean'] / 1000, 2),
        'p99_us': round(way['clat_ns']['percentile']['99.000000'] / 1000, 2),
        'switches': job['ctx'], 'user_percent': round(job['usr_cpu'], 2), 'kernel_percent': round(job['sys_cpu'], 2),
    }


def measure(device, subject, cell, plan):
    # Every tag's buffer gets its pages, and the guess of the rate says how many requests fill the time.
    if plan['virtual']:
        time.sleep(0.5)
    guess = fio(device, cell, ios=max(4 * cell.depth * cell.jobs, 64 if BLOCK[cell.block] > 4096 else 1000))
    for number in range(1, plan['runs'] + 1):
        if plan['virtual']:
            sample = fio(device, cell, ios=int(guess['iops'] * plan['seconds']), seed=number)
        else:
            sample = fio(device, cell, seconds=max(1, round(plan['seconds'])), seed=number)
        tell('sample', subject=subject.name, cell=cell.name, run=number, **sample)


# --- memory


def memory(pid):
    """KiB of the process's pages, by kind."""
    rollup = dict(re.findall(r'^(\w+): +(\d+) kB$', read(f'/proc/{pid}/smaps_rollup'), re.MULTILINE))
    return {key.lower(): int(rollup[key]) for key in ('Rss', 'Pss', 'Pss_Anon', 'Anonymous', 'Private_Clean', 'Private_Dirty')
            if key in rollup}


def measure_memory(maker):
    """An idle server of a device made with the default settings, after traffic in every buffer, and ten quiet seconds later."""
    device = maker.make(matrix.SUBJECTS['null'])
    try:
        time.sleep(1)
        tell('memory', when='idle', kib=memory(device.pid))
        fio(device, matrix.cell('randread', '4k', 32), ios=2000)
        tell('memory', when='after 4k reads at depth 32', kib=memory(device.pid))
        for rw in 'write', 'read':
            fio(device, matrix.cell(rw, '512k', 128), ios=1000)
        tell('memory', when='after 512k writes and reads at depth 128', kib=memory(device.pid))
        time.sleep(10)
        tell('memory', when='ten quiet seconds later', kib=memory(device.pid))
    finally:
        device.remove()


# --- many devices


def available_kib():
    return int(re.search(r'^MemAvailable: +(\d+)', read('/proc/meminfo'), re.MULTILINE)[1])


def raise_limits(number):
    """The administrator's part of having many devices: the driver's limit and ublkd's."""
    write('/sys/module/ublk_drv/parameters/ublks_max', str(number))
    os.makedirs('/etc/ublkd', exist_ok=True)
    write('/etc/ublkd/ublkd.conf', f'[limits]\ndevices-per-user={number}\ndevices-total={number}\n'
                                   f'queue-memory-per-user={max(64, number)}M\ncreations-per-minute=1000000\n')
    subprocess.run(['systemctl', 'stop', 'ublkd'], check=True)


def many_devices(maker, number):
    """Adds and deletes that many null devices, and tells what each took. The first that fails ends the adding, not the run."""
    raise_limits(number + 10)
    # ublkd is started by the first call: that is not the price of a device.
    maker.as_user('ublk-client', 'list')
    time.sleep(1)
    before, paths, seconds, failure = available_kib(), [], [], None
    began = time.monotonic()
    for index in range(number):
        started = time.monotonic()
        try:
            paths.append(maker.as_user('ublk-client', 'add', '-t', 'null', '--size', '1G').strip())
        except Trouble as reason:
            failure = str(reason)
            tell('failed', subject='null', reason=f'device {index + 1}: {failure}')
            break
        seconds.append(round(time.monotonic() - started, 4))
        if len(paths) % max(1, number // 10) == 0:
            print(f'{len(paths)} devices after {time.monotonic() - began:.0f} s, {available_kib() // 1024} MiB available', flush=True)
    added = time.monotonic() - began
    after = available_kib()
    started = time.monotonic()
    listed = len(maker.as_user('ublk-client', 'list').splitlines())
    listing = time.monotonic() - started
    works = {}
    for path in sorted({paths[0], paths[len(paths) // 2], paths[-1]}) if paths else []:
        works[path] = fio(Device(path, None), matrix.cell('randread', '4k', 32), ios=2000)['iops']
    kib = memory(find_server(int(paths[-1][len('/dev/ublkb'):]))) if paths else {}
    removals = []
    for path in paths:
        started = time.monotonic()
        try:
            maker.as_user('ublk-client', 'del', path)
        except Trouble as reason:
            tell('failed', subject='null', reason=f'deleting {path}: {reason}')
            failure = failure or str(reason)
            continue
        removals.append(round(time.monotonic() - started, 4))
    left = [path for path in paths if os.path.exists(path)]
    log = subprocess.run(['journalctl', '-q', '-b', '-p', 'warning', '-o', 'cat', '-n', '20'], stdout=subprocess.PIPE,
                         text=True).stdout.splitlines()
    tell('many', wanted=number, added=len(paths), seconds=seconds, removals=removals, total=round(added, 1), listed=listed,
         list_seconds=round(listing, 3), kib_each=round((before - after) / max(1, len(paths))), works=works, server_kib=kib,
         left=len(left), log=log)
    return failure is None and not left


# --- where the time goes


def thread_counters(pid):
    """(nanoseconds on a processor, context switches of its own accord, others) of all threads of a process."""
    total = [0, 0, 0]
    for task in glob.glob(f'/proc/{pid}/task/*'):
        status = read(task + '/status')
        total[0] += int(read(task + '/schedstat').split()[0])
        total[1] += int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)', status, re.MULTILINE)[1])
        total[2] += int(re.search(r'^nonvoluntary_ctxt_switches:\s*(\d+)', status, re.MULTILINE)[1])
    return total


def counters(device):
    values = {}
    stat = read('/proc/stat')
    tick = 1e9 / os.sysconf('SC_CLK_TCK')
    processor = [int(word) for word in re.search(r'^cpu +(.*)$', stat, re.MULTILINE)[1].split()]
    values['idle_ns'] = (processor[3] + processor[4]) * tick
    values['switches'] = int(re.search(r'^ctxt (\d+)', stat, re.MULTILINE)[1])
    values['interrupts'] = int(re.search(r'^intr (\d+)', stat, re.MULTILINE)[1])
    if device.pid:
        values['server_ns'], values['server_waits'], values['server_preempted'] = thread_counters(device.pid)
        words = read(f'/proc/{device.pid}/stat').rpartition(')')[2].split()
        values['server_user_ns'], values['server_kernel_ns'] = int(words[11]) * tick, int(words[12]) * tick
    values['wall_ns'] = time.monotonic_ns()
    return values


def account(device, cell, ios):
    """What one run of fio cost, start and end of fio included."""
    before = counters(device)
    with open(WORK + '/fio.json', 'w') as out:
        process = subprocess.Popen(fio_command(device, cell, ios=ios), stdin=subprocess.DEVNULL, stdout=out)
        _pid, status, usage = os.wait4(process.pid, 0)
    if status:
        raise Trouble(f'fio ended with {status}')
    after = counters(device)
    cost = {key: after[key] - before[key] for key in before}
    cost['fio_user_ns'], cost['fio_kernel_ns'] = usage.ru_utime * 1e9, usage.ru_stime * 1e9
    cost['fio_waits'], cost['fio_preempted'] = usage.ru_nvcsw, usage.ru_nivcsw
    return fio_result(cell, read(WORK + '/fio.json')), cost


def system_calls(device, cell, ios):
    """{'PROGRAM SYSCALL': how often}, counted by the kernel's tracing; empty where it cannot."""
    tracing = '/sys/kernel/tracing'
    trigger = tracing + '/events/raw_syscalls/sys_enter/trigger'
    histogram = 'hist:keys=common_pid.execname,id.syscall'
    try:
        if not os.path.exists(trigger):
            run('mount', '-t', 'tracefs', 'tracefs', tracing)
        write(trigger, histogram)
    except (OSError, Trouble):
        return {}
    try:
        done = fio(device, cell, ios=ios)['ios']
        counted = {}
        for name, call, hits in re.findall(r'common_pid: (\S+) .*?id: (\w+) .*?hitcount: +(\d+)',
                                           read(trigger.replace('trigger', 'hist'))):
            counted[f'{name} {call}'] = counted.get(f'{name} {call}', 0) + int(hits)
        # What fio's start calls is no part of a request.
        return {key: round(hits / done, 3) for key, hits in sorted(counted.items()) if hits >= done / 50}
    finally:
        write(trigger, '!' + histogram)


def requests_done(path):
    words = read(path).split()
    return int(words[0]) + int(words[4])


def profile(device, subject, cell, plan):
    """What one request costs: the difference of a long and a short run, so that fio's start does not count."""
    fio(device, cell, ios=max(4 * cell.depth, 200))
    rate = fio(device, cell, ios=max(4 * cell.depth, 2000 if cell.block == '4k' else 100))['iops']
    few, many = (account(device, cell, int(rate * seconds)) for seconds in (0.1, 0.1 + plan['profile_seconds']))
    requests = many[0]['ios'] - few[0]['ios']
    costs = {key: (many[1][key] - few[1][key]) / requests for key in many[1]}
    calls = system_calls(device, cell, int(rate * 0.1))
    # The host looks now and then where the processor is, between these two lines.
    with open('/out/kallsyms-' + subject.name, 'w') as out:
        out.write(read('/proc/kallsyms'))
    process = subprocess.Popen(fio_command(device, cell, ios=int(rate * plan['profile_seconds'])), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    # When it does what it is to do, not while it starts.
    statistics = f'/sys/block/{os.path.basename(device.path)}/stat'
    began = requests_done(statistics)
    wait_for('fio', lambda: requests_done(statistics) > began + 100)
    tell('sampling', subject=subject.name, cell=cell.name, on=True)
    maps = {'fio': read(f'/proc/{process.pid}/maps')}
    if device.pid:
        maps['server'] = read(f'/proc/{device.pid}/maps')
    process.wait()
    tell('sampling', subject=subject.name, cell=cell.name, on=False)
    tell('profile', subject=subject.name, cell=cell.name, iops=many[0]['iops'], requests=requests,
         costs={key: round(value, 3) for key, value in costs.items()}, calls=calls)
    for name, text in maps.items():
        with open(f'/out/maps-{subject.name}-{name}', 'w') as out:
            out.write(text)


def measure_subject(maker, subject, cells, plan):
    """False if something went wrong; then the rest of the subject is left out, the others are not."""
    started = time.monotonic()
    try:
        device = maker.make(subject)
    except Unavailable as reason:
        tell('unavailable', subject=subject.name, reason=str(reason))
        return True
    except Trouble as reason:
        tell('failed', subject=subject.name, reason=str(reason))
        return False
    tell('made', subject=subject.name, seconds=round(time.monotonic() - started, 3))
    good = True
    try:
        for cell in cells:
            (profile if plan['profile'] else measure)(device, subject, cell, plan)
    except (Trouble, Unavailable) as reason:
        tell('failed', subject=subject.name, reason=str(reason))
        good = False
        if subject.maker == 'ours':
            print(run('journalctl', '-q', '-b', '-o', 'cat', '-n', '15', '-u', 'ublk*'), flush=True)
    finally:
        try:
            device.remove()
        except (Trouble, Unavailable) as reason:
            tell('failed', subject=subject.name, reason='cannot be removed: ' + str(reason))
            good = False
    return good


def main():
    plan = json.loads(sys.argv[1])
    good = True
    os.makedirs(WORK, exist_ok=True)
    maker = Maker(plan)
    tell('machine', release=os.uname().release, processors=os.cpu_count(), fio=run('fio', '--version').strip(),
         memory_mib=int(re.search(r'MemTotal: +(\d+)', read('/proc/meminfo'))[1]) // 1024)
    if plan['virtual']:
        # What the boot left for later would be counted with the first subject. Sleeping takes no time.
        time.sleep(10)
    try:
        for name, cells in plan['subjects']:
            good = measure_subject(maker, matrix.SUBJECTS[name], [matrix.Cell(*values) for values in cells], plan) and good
        if plan['memory']:
            measure_memory(maker)
        if plan['many']:
            good = many_devices(maker, plan['many']) and good
    except (Trouble, Unavailable) as reason:
        tell('failed', subject='null', reason=str(reason))
        good = False
    finally:
        maker.unmake_backing_files()
    tell('end', failed=not good)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
