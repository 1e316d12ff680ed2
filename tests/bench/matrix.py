# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured: the subjects (block devices that something serves) and the cells (what fio does to them)."""
import collections
import re

# The one that everything is compared with.
LIMIT = 'null_blk'

Subject = collections.namedtuple('Subject', 'name family maker backing options what')
Cell = collections.namedtuple('Cell', 'name rw block depth engine jobs')


def _subjects():
    yield Subject(LIMIT, 'null', 'null_blk', None, (), "the kernel's null_blk, no server at all")
    yield Subject('null', 'null', 'ours', None, (), 'ours')
    yield Subject('null-managed', 'null', 'managed', None, (), "ours as ublkd starts it, in the user's slice")
    yield Subject('kublk-null', 'null', 'kublk', None, (), "the kernel's self-test server")
    yield Subject('kublk-null-batch', 'null', 'kublk', None, ('--batch',), 'the same with batch commands')
    for backing in 'tmpfs', 'ext4':
        end = '' if backing == 'tmpfs' else '-' + backing
        yield Subject('loop' + end, 'loop', 'ours', backing, (), 'ours')
        yield Subject('loop-managed' + end, 'loop', 'managed', backing, (), "ours as ublkd starts it, in the user's slice")
        yield Subject('kloop' + end, 'loop', 'losetup', backing, (), "the kernel's loop driver, buffered")
        yield Subject('kloop-dio' + end, 'loop', 'losetup', backing, ('--direct-io=on',), "the kernel's loop driver, direct")
        yield Subject('kublk-loop' + end, 'loop', 'kublk', backing, (), "the kernel's self-test server")
        yield Subject('kublk-loop-batch' + end, 'loop', 'kublk', backing, ('--batch',), 'the same with batch commands')


SUBJECTS = {subject.name: subject for subject in _subjects()}
QUICK_SUBJECTS = (LIMIT, 'null', 'kublk-null', 'kublk-null-batch', 'loop', 'kloop', 'kublk-loop', 'kublk-loop-batch')


def cell(rw, block, depth, engine='io_uring', jobs=1):
    name = f'{block}-{rw}-qd{depth}' + ('-aio' if engine == 'libaio' else '') + (f'-j{jobs}' if jobs > 1 else '')
    return Cell(name, rw, block, depth, engine, jobs)


def cells(jobs=1, quick=False):
    """In the order in which they are measured."""
    if quick:
        return [cell(rw, '4k', depth, jobs=jobs) for depth in (1, 32) for rw in ('randread', 'randwrite')]
    if jobs > 1:
        return [cell(rw, '4k', depth, jobs=jobs) for depth in (1, 32) for rw in ('randread', 'randwrite')] + [
            cell(rw, '512k', 8, jobs=jobs) for rw in ('read', 'write')]
    return [cell(rw, '4k', depth, engine) for engine, depths in (('io_uring', (1, 32, 128)), ('libaio', (32,))) for depth in depths
            for rw in ('randread', 'randwrite')] + [
        cell(rw, block, 8) for block in ('64k', '512k') for rw in ('read', 'write')]


def peers(subject):
    """The same work done by the kernel's self-test server."""
    return [other.name for other in SUBJECTS.values()
            if other.maker == 'kublk' and (other.family, other.backing) == (subject.family, subject.backing)]


def plan(quick, patterns=(), jobs=1):
    """[(subject's name, [Cell])]: what all patterns (regular expressions) find in SUBJECT/CELL, and the limit of those cells."""
    chosen = []
    for name in QUICK_SUBJECTS if quick else SUBJECTS:
        some = [one for one in cells(jobs, quick)
                if all(re.search(pattern, f'{name}/{one.name}') for pattern in patterns)]
        if some:
            chosen.append((name, some))
    wanted = {one.name for _name, some in chosen for one in some}
    if wanted:
        chosen = [(LIMIT, [one for one in cells(jobs, quick) if one.name in wanted])] + [
            (name, some) for name, some in chosen if name != LIMIT]
    return chosen
