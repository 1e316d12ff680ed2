# SPDX-License-Identifier: LGPL-2.1-or-later
"""The results as a picture: for each boot and kind of device a panel, for each cell a group of bars, as long as the ratio to null_blk."""
import html

import matrix

WIDTH, LABEL, FIGURE = 860, 170, 150
BAR, GAP, GROUP = 13, 2, 12
# Ours is the strong one. All of them can be told apart on light and on dark ground, and by those who do not see colours.
COLOURS = {'ours': '#d9480f', 'kublk': '#1971c2', 'kublk batch': '#74a9d8', 'losetup': '#2b8a3e', 'losetup direct': '#8cc08f'}
STYLE = '''
.ground { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif }
.title { font-size: 15px; font-weight: 600 } .small { font-size: 11px } .grid { stroke: #d0d7de }
@media (prefers-color-scheme: dark) { .ground { fill: #15191f } text { fill: #e6edf3 } .grid { stroke: #3d444d } }
'''


def colour(subject):
    return COLOURS[subject.maker + (' batch' if '--batch' in subject.options else '')
                   + (' direct' if '--direct-io=on' in subject.options else '')]


class Picture:
    def __init__(self):
        self.parts = []
        self.height = 16

    def text(self, x, y, text, kind='', anchor='start'):
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{html.escape(text)}</text>')

    def panel(self, boot, family, backing):
        names = [one.name for one in matrix.SUBJECTS.values() if (one.family, one.backing) == (family, backing)
                 and one.name != matrix.LIMIT and any(key[0] == one.name for key in boot.samples)]
        cells = [cell for cell in boot.cells(family, backing) if any((name, cell) in boot.samples for name in names)
                 and (matrix.LIMIT, cell) in boot.samples]
        if not names or not cells:
            return
        self.height += 14
        self.text(16, self.height, f'{family}{" on " + backing if backing else ""}: {boot.title()}', 'title')
        self.height += 20
        x = 16
        for name in names:
            subject = matrix.SUBJECTS[name]
            label = f'{name} ({subject.what})'
            if x + 7 * len(label) > WIDTH and x > 16:
                x, self.height = 16, self.height + 18
            self.parts.append(f'<rect x="{x}" y="{self.height - 10}" width="11" height="11" fill="{colour(subject)}"/>')
            self.text(x + 16, self.height, label, 'small')
            x += 36 + 6.1 * len(label)
        self.height += 16
        top = max(1.0, max(boot.ratio(name, cell) or 0 for name in names for cell in cells))
        scale = (WIDTH - LABEL - FIGURE) / top
        start = self.height
        for cell in cells:
            self.text(LABEL - 8, self.height + (BAR + GAP) * len(names) / 2 + 3, cell, '', 'end')
            for name in names:
                ratio = boot.ratio(name, cell)
                if ratio is not None:
                    self.parts.append(f'<rect x="{LABEL}" y="{self.height}" width="{max(1, ratio * scale):.1f}" height="{BAR}" '
                                      f'fill="{colour(matrix.SUBJECTS[name])}"/>')
                    self.text(LABEL + ratio * scale + 6, self.height + BAR - 3, f'{ratio:.2f} · {rate(boot, name, cell)}', 'small')
                self.height += BAR + GAP
            self.height += GROUP
        for quarter in range(5):
            x = LABEL + quarter / 4 * scale
            self.parts.insert(0, f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{start - 4}" y2="{self.height - 6}" class="grid"/>')
            self.text(x, self.height + 6, f'{quarter / 4:g}', 'small', 'middle')
        self.text(LABEL + scale + 12, self.height + 6, '= null_blk', 'small')
        self.height += 26

    def finish(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" viewBox="0 0 {WIDTH} {self.height}" '
                f'role="img">\n<title>Speed of ublk servers, as a share of null_blk</title>\n<style>{STYLE}</style>\n'
                f'<rect class="ground" width="{WIDTH}" height="{self.height}" rx="8"/>\n' + '\n'.join(self.parts) + '\n</svg>\n')


def rate(boot, name, cell):
    if cell.startswith('4k'):
        return f'{boot.value(name, cell) / 1000:.1f} kIOPS'
    return f'{boot.value(name, cell, "mb_per_s"):.0f} MB/s'


def draw(boots):
    picture = Picture()
    for boot in boots:
        seen = []
        for subject in matrix.SUBJECTS.values():
            if (subject.family, subject.backing) not in seen:
                seen.append((subject.family, subject.backing))
                picture.panel(boot, subject.family, subject.backing)
    return picture.finish()
