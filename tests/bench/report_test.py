# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was not measured, failed or is slower may not look like a goal that was met."""
import json
import os
import sys
import unittest
import xml.dom.minidom

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chart  # noqa: E402
import matrix  # noqa: E402
import report  # noqa: E402
import sampler  # noqa: E402


def boot(rates, kernel='7.2', processors=1, queues=1, end=True):
    """rates: {'SUBJECT/CELL': [kIOPS]}"""
    one = report.Boot(kernel, processors, queues)
    for key, values in rates.items():
        subject, cell = key.split('/')
        for number, value in enumerate(values, 1):
            one.line('@sample ' + json.dumps({'subject': subject, 'cell': cell, 'run': number, 'iops': value * 1000.0,
                                              'mb_per_s': value * 4.096}))
    if end:
        one.line('@end {"failed": false}')
    return one


def verdicts(one):
    return {goal['name']: goal['passed'] for goal in one.goals()}


BASE = {'null_blk/4k-randread-qd1': [120], 'null_blk/4k-randread-qd32': [120]}


class Goals(unittest.TestCase):
    def test_median_decides(self):
        good = boot({**BASE, 'null/4k-randread-qd32': [10, 79, 79, 79, 500]})
        self.assertIs(verdicts(good)['null at depth 32, of null_blk'], True)
        bad = boot({**BASE, 'null/4k-randread-qd32': [77, 77, 77, 100, 500]})
        self.assertIs(verdicts(bad)['null at depth 32, of null_blk'], False)

    def test_each_kernel_has_its_own_goal(self):
        rates = {**BASE, 'null/4k-randread-qd32': [80], 'null/4k-randread-qd1': [40]}
        self.assertEqual([verdicts(boot(rates, kernel))[f'null at depth {depth}, of null_blk']
                          for kernel in ('6.12', '7.2') for depth in (1, 32)], [False, False, True, True])

    def test_what_was_not_measured_is_no_pass(self):
        self.assertEqual(set(verdicts(boot(BASE)).values()), {None})
        self.assertIn('not measured', '\n'.join(report.goals_table(boot(BASE).goals())))

    def test_loop_is_compared_with_the_better_of_the_peers(self):
        rates = {**BASE, 'loop/4k-randread-qd32': [55], 'kloop/4k-randread-qd32': [50], 'kublk-loop/4k-randread-qd32': [40],
                 'kublk-loop-batch/4k-randread-qd32': [52]}
        self.assertIs(verdicts(boot(rates))['loop at depth 32, of the best kublk'], False)
        self.assertIs(verdicts(boot(rates))["loop at depth 32, of the kernel's loop"], True)

    def test_one_cell_behind_kublk_is_a_failure_that_is_named(self):
        rates = {**BASE, 'null/4k-randread-qd1': [50], 'kublk-null/4k-randread-qd1': [40], 'null/4k-randread-qd32': [48],
                 'kublk-null/4k-randread-qd32': [50]}
        goal = [goal for goal in boot(rates).goals() if 'every cell' in goal['name']][0]
        self.assertIs(goal['passed'], False)
        self.assertIn('null/4k-randread-qd32', goal['remark'])

    def test_a_server_is_compared_with_peers_on_the_same_backing(self):
        rates = {**BASE, 'loop-ext4/4k-randread-qd1': [20], 'kublk-loop/4k-randread-qd1': [40]}
        self.assertNotIn('every cell, of the best kublk in it', verdicts(boot(rates)))

    def test_several_processors_have_no_goal_for_one(self):
        self.assertEqual(verdicts(boot({**BASE, 'null/4k-randread-qd32': [100]}, processors=2)), {})


class MemoryAndMany(unittest.TestCase):
    @staticmethod
    def told(kind, **values):
        one = report.Boot('7.2', 1, 1)
        one.line(f'@{kind} ' + json.dumps(values))
        return one

    def many(self, seconds, wanted=64):
        return self.told('many', wanted=wanted, added=len(seconds), seconds=seconds, removals=[0.1] * len(seconds), total=1, listed=1,
                         list_seconds=0.1, kib_each=1, works={}, server_kib={}, left=0, log=[])

    def test_an_idle_server_may_be_small_only(self):
        for rss, passed in (2000, True), (2049, False):
            one = self.told('memory', when='idle', kib={'rss': rss, 'pss': 1, 'anonymous': 1})
            self.assertIs(verdicts(one)['idle server, KiB resident'], passed)
            self.assertIn(str(rss), '\n'.join(one.table()))

    def test_memory_after_traffic_is_not_the_idle_one(self):
        self.assertIsNone(verdicts(self.told('memory', when='later', kib={'rss': 1}))['idle server, KiB resident'])

    def test_each_device_must_cost_the_same(self):
        name = 'growth of adding for each device, of the first eight'
        self.assertIs(verdicts(self.many([0.5] + [0.2] * 63))[name], True)
        self.assertIs(verdicts(self.many([0.2 + 0.01 * number for number in range(64)]))[name], False)

    def test_fewer_devices_than_wanted_are_a_failure(self):
        one = self.many([0.2] * 40)
        self.assertIs(verdicts(one)['devices added'], False)
        self.assertIn('40 of 64', '\n'.join(one.table()))


class Lines(unittest.TestCase):
    def test_only_measure_s_lines_are_taken(self):
        one = report.Boot('7.2', 1, 1)
        self.assertFalse(one.line('sample {}'))
        self.assertFalse(one.line('@sample {"cut off'))
        self.assertEqual(one.samples, {})

    def test_a_boot_that_stopped_short_is_not_complete(self):
        self.assertFalse(boot(BASE, end=False).document()['complete'])
        self.assertIn('FAILED: ended', '\n'.join(boot(BASE, end=False).table()))
        self.assertNotIn('FAILED', '\n'.join(boot(BASE).table()))
        failed = boot(BASE)
        failed.line('@failed {"subject": "null", "reason": "gone"}')
        self.assertFalse(failed.document()['complete'])
        self.assertIn('FAILED: null: gone', failed.table())

    def test_document_keeps_every_sample(self):
        document = json.loads(json.dumps(report.document([boot({**BASE, 'null/4k-randread-qd1': [40, 44, 42]})], {'runs': 3})))
        self.assertEqual((document['format'], document['version']), ('ublk-bench', 1))
        found = [one for one in document['boots'][0]['results'] if one['subject'] == 'null'][0]
        self.assertEqual([sample['iops'] for sample in found['samples']], [40000, 44000, 42000])
        self.assertEqual((found['iops'], found['ratio']), (42000, 0.35))
        self.assertAlmostEqual(found['spread'], 4 / 42, 3)

    def test_ratio_without_the_limit_is_none(self):
        self.assertIsNone(boot({'null/4k-randread-qd1': [40]}).ratio('null', '4k-randread-qd1'))
        boot({'null/4k-randread-qd1': [40]}).table()


class Plans(unittest.TestCase):
    def test_the_limit_is_in_every_plan_with_all_its_cells(self):
        for patterns in (['^loop/'], ['kublk', 'randwrite'], []):
            for quick in True, False:
                plan = matrix.plan(quick, patterns)
                self.assertEqual(plan[0][0], matrix.LIMIT)
                self.assertLessEqual({cell for _name, cells in plan for cell in cells}, set(plan[0][1]))

    def test_patterns_that_find_nothing_plan_nothing(self):
        self.assertEqual(matrix.plan(True, ['nothing']), [])

    def test_names_of_cells_are_unique(self):
        for jobs in 1, 4:
            names = [cell.name for cell in matrix.cells(jobs)]
            self.assertEqual(len(names), len(set(names)))


class Pictures(unittest.TestCase):
    def test_it_is_xml_and_shows_every_figure(self):
        text = chart.draw([boot({**BASE, 'null/4k-randread-qd1': [48], 'kublk-null/4k-randread-qd1': [60]})])
        xml.dom.minidom.parseString(text)
        for figure in '0.40', '0.50', '48.0 kIOPS':
            self.assertIn(figure, text)

    def test_nothing_measured_is_still_a_picture(self):
        xml.dom.minidom.parseString(chart.draw([report.Boot('7.2', 1, 1)]))


class Samples(unittest.TestCase):
    def test_kernel_time_is_the_program_s_whose_page_tables_are_loaded(self):
        kernel = sampler.Symbols([(0x1000, 'default_idle'), (0x2000, 'schedule')])
        server = sampler.Maps('server', '400000-500000 r-xp 00000000 00:00 1 /usr/bin/ublk-server\n',
                              {'ublk-server': sampler.Symbols([(0x10, 'main'), (0x80, 'loop')])})
        found, shares, number = sampler.attribute(
            [(0x400085, True, 7), (0x2004, False, 7), (0x2004, False, 9), (0x1004, False, 7)], kernel, [server])
        self.assertEqual(number, 3)
        self.assertEqual(sorted(found), [('other', 'kernel: schedule', 1 / 3), ('server', 'kernel: schedule', 1 / 3),
                                         ('server', 'ublk-server: loop', 1 / 3)])
        self.assertEqual(shares, {'server': 2 / 3, 'other': 1 / 3})


if __name__ == '__main__':
    unittest.main()
