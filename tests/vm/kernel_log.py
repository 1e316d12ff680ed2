# SPDX-License-Identifier: LGPL-2.1-or-later
"""Judges a kernel log: the lines that mean that the kernel met a bug, whatever the test that ran had to say."""
import re

# What a kernel prints when something is wrong with itself. Colons and case are part of it: drivers use the words in passing.
TROUBLE = re.compile(
    r'\bWARNING:|\bBUG\b|\bOops\b|\bUBSAN:|\bKASAN:|\bKCSAN:|\bKFENCE:|\bkernel panic\b|\bKernel panic\b'
    r'|general protection fault|stack segment:|double fault|unable to handle|invalid opcode:|divide error:'
    r'|blocked for more than|hung_task:|soft lockup|hard LOCKUP|detected stalls?\b|self-detected stall'
    r'|possible (?:circular|recursive|irq) |inconsistent lock state|suspicious RCU usage|INFO: trying to register non-static'
    r'|refcount_t:|list_(?:add|del) corruption|sleeping function called|scheduling while atomic|unreferenced object'
    r'|Out of memory:|page allocation failure|EXT4-fs error|Unknown symbol')

# Known and harmless: a line, and what must stand in the report that follows it. Each says why.
ALLOWED = (
    # 7.2's zero copy runs past the declared end of a flexible array in io_uring, and works all the same.
    (re.compile(r'UBSAN: array-index-out-of-bounds in .*io_uring/'), 'io_buffer_register_bvec'),
    # Said at boot about the machine, when mitigations are off.
    (re.compile(r'WARNING: Unprivileged eBPF is enabled'), ''),
)
REPORT_LINES = 30

# The line of the kernel's own, or of what it repeats from /dev/kmsg: "[   12.345678] text".
STAMP = re.compile(r'^\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?')


# What the runners in the guest write to /dev/kmsg before each test.
MARK = re.compile(r'ublk-test: ')
# Where the kernel's report, or the kernel, ends.
END = re.compile(r'end trace|sysrq: Power Off|ublk-test: ')


def is_allowed(message, report):
    return any(start.search(message) and any(inside in line for line in report) for start, inside in ALLOWED)


def trouble(text):
    """The suspicious lines of a log with what the kernel said next, each behind the name of the test that was running."""
    found = []
    mark = None
    show = 0
    lines = [line.rstrip('\r') for line in text.split('\n')]
    for number, line in enumerate(lines):
        message = STAMP.sub('', line)
        if MARK.match(message):
            mark = line
        if TROUBLE.search(message) and not is_allowed(message, lines[number:number + REPORT_LINES]):
            if mark:
                found.append(mark)
                mark = None
            show = REPORT_LINES
        elif END.search(message):
            show = min(show, 1)
        if show and message.strip():
            found.append(line)
            show -= 1
    return found
