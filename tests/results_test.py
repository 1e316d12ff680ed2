# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing that failed, was cut off or never ran may count as passed."""
import io
import os
import sys
import unittest

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), 'vm')]
import kernel_log  # noqa: E402
import results  # noqa: E402


def run(text, status, messages=()):
    out = io.StringIO()
    total = results.Results(out)
    runner = results.Runner(total, 'stage')
    for line in text.split('\n'):
        runner.line(line)
    runner.finish(status, messages)
    return total, out.getvalue()


class Runners(unittest.TestCase):
    def test_each_kind_is_counted(self):
        total, text = run('plan 3\nok   a  1s\nFAIL b  2s\n    | why\nskip c  no disk\nend', 1)
        self.assertEqual(total.summary(), '1 passed, 1 failed, 1 skipped')
        self.assertIn('FAIL stage/b  2s\n    | why\n', text)
        self.assertIn('skip stage/c  no disk', text)

    def test_skips_are_named_only_when_there_are_some(self):
        self.assertEqual(run('plan 1\nok   a  1s\nend', 0)[0].summary(), '1 passed, 0 failed')

    def test_output_cannot_pose_as_a_result(self):
        self.assertEqual(run('plan 1\nFAIL a  1s\n    | ok   b  1s\nend', 1)[0].passed, 0)

    def test_a_pass_is_told_at_once(self):
        out = io.StringIO()
        runner = results.Runner(results.Results(out), 'stage')
        runner.line('plan 2')
        runner.line('ok   a  1s')
        self.assertEqual(out.getvalue(), 'ok   stage/a  1s\n')

    def test_a_runner_that_dies_is_a_failure(self):
        for text in '', 'plan 2', 'plan 2\nok   a  1s', 'plan 2\nok   a  1s\nok   b  1s':
            self.assertEqual(run(text, 125)[0].failed, 1, text)

    def test_too_few_tests_or_none_are_a_failure(self):
        self.assertEqual(run('plan 2\nok   a  1s\nend', 0)[0].failed, 1)
        self.assertEqual(run('plan 0\nend', 0)[0].failed, 1)

    def test_a_bug_in_the_kernel_is_a_failure_though_all_tests_pass(self):
        total, text = run('plan 1\nok   a  1s\nend', 126, ['WARNING: CPU: 0'])
        self.assertEqual((total.passed, total.failed), (1, 1))
        self.assertIn('WARNING: CPU: 0', text)

    def test_a_status_that_does_not_fit_is_a_failure(self):
        self.assertEqual(run('plan 1\nok   a  1s\nend', 1)[0].failed, 1)
        self.assertEqual(run('plan 1\nFAIL a  1s\nend', 0)[0].failed, 2)


class KernelLog(unittest.TestCase):
    def test_bugs_are_found_and_blamed(self):
        for bug in ('WARNING: CPU: 1 PID: 7 at fs/io.c:3 f+0x1/0x2', 'BUG: kernel NULL pointer dereference',
                    'INFO: task fio:12 blocked for more than 120 seconds.', 'Oops: 0000 [#1] PREEMPT SMP',
                    'UBSAN: shift-out-of-bounds in block/x.c:1:2', 'BUG: KASAN: slab-use-after-free in g',
                    'general protection fault, probably for non-canonical address', 'rcu: INFO: rcu_preempt detected stalls',
                    'WARNING: possible circular locking dependency detected', 'watchdog: BUG: soft lockup - CPU#0 stuck'):
            found = kernel_log.trouble(f'[    1.0] ublk-test: system a\r\n[    2.000000] {bug}\r\n[    3.0] more\r\n')
            self.assertEqual(len(found), 3, bug)
            self.assertIn('system a', found[0])

    def test_what_is_harmless_is_not(self):
        for line in ('Linux version 7.2.12 (debian-kernel@lists.debian.org)', 'pci 0000:00:1f.0: quirk', 'DEBUG: x',
                     'Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on',
                     'hung_task_panic=0'):
            self.assertEqual(kernel_log.trouble(f'[    1.000000] {line}\r\n'), [], line)

    def test_only_the_known_array_index_is_allowed(self):
        log = '[   9.0] UBSAN: array-index-out-of-bounds in io_uring/rsrc.c:933:10\r\n[   9.0]  %s+0x1/0x2\r\n'
        self.assertEqual(kernel_log.trouble(log % 'io_buffer_register_bvec'), [])
        self.assertNotEqual(kernel_log.trouble(log % 'io_other'), [])


if __name__ == '__main__':
    unittest.main()
