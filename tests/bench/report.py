# SPDX-License-Identifier: LGPL-2.1-or-later
"""From the lines that measure.py printed to medians, ratios, goals, the table and the JSON file."""
import json
import statistics

import matrix

FORMAT, VERSION = 'ublk-bench', 1
# fio tells milliseconds, of some 150 in a run: a server is not behind another one by less than this.
MARGIN = 0.01
# null: at least this much of null_blk, by kernel and depth, 4k random reads, one processor, one queue.
NULL_GOALS = {'6.12': {1: 0.47, 32: 0.78}, '7.2': {1: 0.32, 32: 0.65}}
LOOP_OVER_KUBLK = 1.10
# KiB resident of a server of one queue of 128 that has had nothing to do.
IDLE_KIB = 2048
# Seconds that each further device may add to the next one's making: a hundredth of what the first takes.
ADD_SLOPE = 0.01


class Boot:
    """What one machine told: everything in it can be compared with everything else in it."""

    def __init__(self, kernel, processors, queues, jobs=1):
        self.kernel = kernel
        self.processors = processors
        self.queues = queues
        self.jobs = jobs
        self.status = None
        self.machine = {}
        self.samples = {}
        self.unavailable = {}
        self.failed = []
        self.told = {}
        self.ended = False

    def line(self, text):
        """True if the line was one of measure.py's."""
        if not text.startswith('@'):
            return False
        kind, _, rest = text[1:].partition(' ')
        try:
            values = json.loads(rest)
        except ValueError:
            return False
        if kind == 'machine':
            self.machine = values
        elif kind == 'sample':
            key = values.pop('subject'), values.pop('cell')
            self.samples.setdefault(key, []).append(values)
        elif kind == 'unavailable':
            self.unavailable[values['subject']] = values['reason']
        elif kind == 'failed':
            self.failed.append(values)
        elif kind == 'end':
            self.ended = True
        else:
            self.told.setdefault(kind, []).append(values)
        return True

    def title(self):
        return (f'Linux {self.kernel} ({self.machine.get("release", "?")}), {count(self.processors, "processor")}, '
                f'{count(self.queues, "queue")}')

    # --- figures

    def cells(self, family=None, backing=None):
        """Names, in the order measured."""
        found = {}
        for subject, cell in self.samples:
            one = matrix.SUBJECTS[subject]
            if family is None or (one.family, one.backing) == (family, backing):
                found[cell] = True
        return list(found)

    def value(self, subject, cell, field='iops'):
        samples = self.samples.get((subject, cell))
        return statistics.median(sample[field] for sample in samples) if samples else None

    def spread(self, subject, cell):
        """(largest - smallest) / median."""
        rates = [sample['iops'] for sample in self.samples[subject, cell]]
        return (max(rates) - min(rates)) / statistics.median(rates)

    def ratio(self, subject, cell, to=matrix.LIMIT):
        own, other = self.value(subject, cell), self.value(to, cell)
        return own / other if own and other else None

    # --- goals

    def goals(self):
        """[{name, value, goal, passed}]; passed is None when what it needs was not measured."""
        found = []

        def add(name, value, goal, remark='', at_most=False):
            passed = None if value is None else value <= goal if at_most else value >= goal
            found.append({'kernel': self.kernel, 'processors': self.processors, 'queues': self.queues, 'name': name,
                          'value': value if value is None else round(value, 3), 'goal': goal, 'at_most': at_most, 'passed': passed,
                          'remark': remark})

        if self.processors == 1 and self.queues == 1 and self.samples:
            for depth, goal in NULL_GOALS.get(self.kernel, {}).items():
                add(f'null at depth {depth}, of null_blk', self.ratio('null', f'4k-randread-qd{depth}'), goal)
            cell = '4k-randread-qd32'
            best = self.best(matrix.peers(matrix.SUBJECTS['loop']), cell)
            add('loop at depth 32, of the best kublk', best and self.ratio('loop', cell, best), LOOP_OVER_KUBLK, best or '')
            add("loop at depth 32, of the kernel's loop", self.ratio('loop', cell, 'kloop'), 1.0)
        if self.told.get('memory'):
            add('idle server, KiB resident', self.idle_kib(), IDLE_KIB, at_most=True)
        many = self.many()
        if many:
            add('devices added', self.told['many'][0]['added'], self.told['many'][0]['wanted'])
            add('growth of adding for each device, of the first eight', many['slope'] / many['early'], ADD_SLOPE, at_most=True)
        behind = self.behind()
        if behind is not None:
            worst = behind[0] if behind else None
            add('every cell, of the best kublk in it', self.worst(), 1 - MARGIN,
                '' if not worst else f'{len(behind)} behind, most of all {worst[1]}/{worst[2]} ({worst[0]:.2f} of {worst[3]})')
        return found

    def best(self, names, cell):
        measured = [name for name in names if (name, cell) in self.samples]
        return max(measured, key=lambda name: self.value(name, cell)) if measured else None

    def against_peers(self):
        """[(ratio, ours, cell, peer)], the worst first."""
        found = []
        for subject, cell in self.samples:
            if matrix.SUBJECTS[subject].maker == 'ours':
                best = self.best(matrix.peers(matrix.SUBJECTS[subject]), cell)
                if best:
                    found.append((self.ratio(subject, cell, best), subject, cell, best))
        return sorted(found)

    def behind(self):
        found = self.against_peers()
        return [one for one in found if one[0] < 1 - MARGIN] if found else None

    def worst(self):
        return self.against_peers()[0][0]

    def many(self):
        """What adding took, in seconds: {number, first, of the first eight, of the last eight, slope for each device}."""
        found = self.told.get('many')
        if not found or len(found[0]['seconds']) < 16:
            return None
        seconds = found[0]['seconds']
        slope, _start = regression(seconds[1:])
        return {'number': len(seconds), 'first': seconds[0], 'early': statistics.median(seconds[:8]),
                'late': statistics.median(seconds[-8:]), 'median': statistics.median(seconds), 'slope': slope,
                'remove': statistics.median(found[0]['removals'] or [0])}

    def idle_kib(self):
        return next((one['kib']['rss'] for one in self.told.get('memory', []) if one['when'] == 'idle'), None)

    # --- output

    def document(self):
        return {
            'kernel': self.kernel, 'processors': self.processors, 'queues': self.queues, 'jobs': self.jobs, 'machine': self.machine,
            'complete': self.ended and not self.failed, 'failed': self.failed, 'unavailable': self.unavailable,
            'results': [{'subject': subject, 'cell': cell, 'iops': self.value(subject, cell),
                         'mb_per_s': self.value(subject, cell, 'mb_per_s'), 'ratio': self.ratio(subject, cell),
                         'spread': round(self.spread(subject, cell), 4), 'samples': samples}
                        for (subject, cell), samples in self.samples.items()],
            **self.told}

    def table(self):
        lines = ['', self.title(), '']
        groups = []
        for subject in matrix.SUBJECTS.values():
            if (subject.family, subject.backing) not in groups:
                groups.append((subject.family, subject.backing))
        for family, backing in groups:
            names = [subject.name for subject in matrix.SUBJECTS.values() if (subject.family, subject.backing) == (family, backing)
                     and any(key[0] == subject.name for key in self.samples)]
            if not [name for name in names if name != matrix.LIMIT]:
                continue
            if matrix.LIMIT not in names:
                names.insert(0, matrix.LIMIT)
            rows = [[f'{family} on {backing}' if backing else family] + [name.removesuffix(f'-{backing}') for name in names]]
            for cell in self.cells(family, backing):
                rows.append([cell] + [self.entry(name, cell) for name in names])
            lines += columns(rows) + ['']
        if self.told.get('memory'):
            rows = [['memory of a server (1 queue of 128), KiB', 'Rss', 'Pss', 'anonymous']]
            for one in self.told['memory']:
                rows.append([one['when']] + [str(one['kib'].get(key, '-')) for key in ('rss', 'pss', 'anonymous')])
            lines += columns(rows) + ['']
        for one in self.told.get('many', []):
            lines += self.many_table(one) + ['']
        for name, reason in self.unavailable.items():
            lines.append(f'not measured: {name}: {reason}')
        return lines + self.failures()

    def failures(self):
        lines = [f'FAILED: {one["subject"]}: {one["reason"]}' for one in self.failed]
        if not self.ended:
            lines.append(f'FAILED: ended with status {self.status} before everything was measured')
        return lines

    def many_table(self, one):
        many = self.many()
        lines = [f'{one["added"]} of {one["wanted"]} null devices added in {one["total"]:g} s; each takes {one["kib_each"]} KiB of the '
                 f'machine, its server {one["server_kib"].get("pss", "?")} KiB (Pss)']
        if many:
            rows = [['milliseconds for each device', 'the first', 'first eight', 'last eight', 'median', 'more for each device'],
                    ['add'] + [f'{many[key] * 1000:.1f}' for key in ('first', 'early', 'late', 'median')]
                    + [f'{many["slope"] * 1000:+.3f}'], ['delete', '', '', '', f'{many["remove"] * 1000:.1f}', '']]
            lines += columns(rows)
        lines.append(f'list: {one["list_seconds"]:g} s; left after deleting: {one["left"]}; requests/s on some: '
                     + ', '.join(f'{path} {iops:.0f}' for path, iops in one['works'].items()))
        return lines + [f'log: {line}' for line in one['log']]

    def profile_table(self):
        lines = ['', self.title(), '']
        profiles = self.told.get('profile', [])
        if not profiles:
            return lines + self.failures()
        rows = [['for each request'] + [one['subject'] for one in profiles]]

        def row(name, value):
            figures = [value(one['costs']) for one in profiles]
            if any(figure is not None for figure in figures):
                rows.append([name] + ['-' if figure is None else f'{figure:.2f}' if abs(figure) < 100 else f'{figure:.0f}'
                                      for figure in figures])

        def plain(key):
            return lambda costs: costs.get(key)

        rows.append(['cell'] + [one['cell'] for one in profiles])
        rows.append(['requests/s'] + [f'{one["iops"]:.0f}' for one in profiles])
        row('ns of virtual time', plain('wall_ns'))
        row('  idle', plain('idle_ns'))
        row('  fio, user', plain('fio_user_ns'))
        row('  fio, kernel', plain('fio_kernel_ns'))
        row('  server', plain('server_ns'))
        row('    user (by ticks: rough)', plain('server_user_ns'))
        row('    kernel', plain('server_kernel_ns'))
        row('  others', lambda costs: costs['wall_ns'] - costs['idle_ns'] - costs['fio_user_ns'] - costs['fio_kernel_ns']
            - costs.get('server_ns', 0))
        row('context switches', plain('switches'))
        row('  server waits', plain('server_waits'))
        row('  server is preempted', plain('server_preempted'))
        row('  fio waits', plain('fio_waits'))
        row('  fio is preempted', plain('fio_preempted'))
        row('interrupts', plain('interrupts'))
        for call in sorted({call for one in profiles for call in one['calls']}):
            rows.append([call] + [f'{one["calls"][call]:.2f}' if call in one['calls'] else '-' for one in profiles])
        lines += columns(rows)
        for one in profiles:
            if one.get('functions'):
                lines += ['', f'{one["subject"]}/{one["cell"]}, {one["looks"]} looks: ' + ', '.join(
                    f'{who} {share:.0%}' for who, share in sorted(one['shares'].items(), key=lambda pair: -pair[1]))]
                lines += columns([['who', 'function'.ljust(60), "share of QEMU's time"]] + [
                    [found['who'], found['function'][:60].ljust(60), f'{found["share"]:.1%}'] for found in one['functions'][:25]])
        return lines

    def entry(self, subject, cell):
        value = self.value(subject, cell)
        if value is None:
            return '-'
        if cell.startswith('4k'):
            figure = f'{value / 1000:6.1f}k'
        else:
            figure = f'{self.value(subject, cell, "mb_per_s"):5.0f}MB'
        spread = self.spread(subject, cell)
        ratio = self.ratio(subject, cell)
        return (f'{ratio:.2f} ' if ratio is not None and subject != matrix.LIMIT else '') + figure + (
            f' ±{spread * 50:2.0f}%' if spread >= 0.01 else '     ')


def regression(values):
    """(slope, start) of the straight line through values at 0, 1, 2, …"""
    middle, mean = (len(values) - 1) / 2, statistics.mean(values)
    slope = sum((x - middle) * (y - mean) for x, y in enumerate(values)) / sum((x - middle) ** 2 for x in range(len(values)))
    return slope, mean - slope * middle


def count(number, what):
    return f'{number} {what}' + ('' if number == 1 else 's')


def columns(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ['  '.join(text.ljust(width) if i == 0 else text.rjust(width) for i, (text, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def goals_table(goals):
    rows = [['goal', 'is', 'should be', '']]
    for goal in goals:
        verdict = {None: 'not measured', True: 'pass', False: 'FAIL'}[goal['passed']]
        where = goal['kernel'] + ('' if goal['processors'] == goal['queues'] == 1
                                  else f' ({goal["processors"]} cpus, {goal["queues"]} queues)')
        def figure(value):
            return '-' if value is None else f'{value:.0f}' if value >= 100 or goal['goal'] >= 100 else f'{value:.2f}'

        rows.append([f'{where}: {goal["name"]}', figure(goal['value']), ('<= ' if goal['at_most'] else '>= ') + figure(goal['goal']),
                     verdict + (f'   {goal["remark"]}' if goal['remark'] else '')])
    width = max(len(row[3]) for row in rows)
    return [line.rstrip() for line in columns([row[:3] + [row[3].ljust(width)] for row in rows])]


def document(boots, settings):
    return {'format': FORMAT, 'version': VERSION, 'settings': settings, 'boots': [boot.document() for boot in boots],
            'goals': [goal for boot in boots for goal in boot.goals()]}
