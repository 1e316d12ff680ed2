#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""picture.py < OUTPUT > PICTURE.svg : what `./run demo` printed, or the part of it that shows what it is about, as a terminal shows it.

Nothing is retold: each line is one that the demo printed. Steps that are not in SHOWN are left out.
"""
import html
import re
import sys

# The commands that are shown. Above them is what the demo says of them.
SHOWN = re.compile('id|cp .*|ublk-client (add .*|list|del .*)|ls -l .*|/usr/sbin/mkfs.*|podman run .*')
COLUMNS = 116
WIDTH, LINE, LEFT, TOP = 7.23, 17, 16, 42  # of one character at 12 pixels, and of the frame

STYLE = '''text { font: 12px ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Menlo, monospace; fill: #c9d1d9; }
.told { fill: #7ee787 } .typed { fill: #ffffff; font-weight: bold } .title { fill: #8b949e }'''


def steps(lines):
    """What the demo printed, as (what it said above, the command, all its lines)."""
    told, command, shown = '', None, []
    for line in lines + ['']:
        prompt = re.match(r'(?:alice\$|root#) (.*)', line)
        if command is not None and (prompt or not line):
            yield told, command, shown
            command = None
        if line.startswith('# '):
            told = line
        elif prompt:
            command, shown = prompt[1], [line]
        elif command is not None:
            shown.append(line)


def wrap(line):
    return [line[start:start + COLUMNS] for start in range(0, len(line), COLUMNS)] or ['']


def rows(lines):
    """Rows of the terminal, each a list of (class, text)."""
    last = None
    for told, command, shown in steps(lines):
        if not SHOWN.fullmatch(command):
            continue
        if told != last:
            yield []
            yield from ([('told', part)] for part in wrap(told))
            last = told
        prompt = shown[0][:len(shown[0]) - len(command)]
        first, *rest = wrap(shown[0])
        yield [('', prompt), ('typed', first[len(prompt):])]
        yield from ([('typed', part)] for part in rest)
        yield from ([('', part)] for line in shown[1:] for part in wrap(line))


def main():
    output = re.sub(r'\x1b\[[0-9;]*m|\r', '', sys.stdin.read()).expandtabs().splitlines()
    if not any(line.startswith('The demo succeeded') for line in output):
        sys.exit('picture.py: this is not the output of a demo that succeeded')
    pictured = list(rows(output))[1:]
    width, height = round(2 * LEFT + COLUMNS * WIDTH), TOP + LINE * len(pictured) + 4
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">')
    print('<!-- Made by `./run pictures` from what `./run demo` printed. -->')
    print(f'<title>A part of the demo</title>\n<style>{STYLE}</style>')
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>')
    for x, colour in ((18, '#ff5f57'), (36, '#febc2e'), (54, '#28c840')):
        print(f'<circle cx="{x}" cy="16" r="5" fill="{colour}"/>')
    print(f'<text x="{width / 2:.0f}" y="20" class="title" text-anchor="middle">./run demo</text>')
    for number, row in enumerate(pictured):
        spans = ''.join(f'<tspan class="{kind}">{html.escape(text)}</tspan>' if kind else html.escape(text) for kind, text in row)
        print(f'<text xml:space="preserve" x="{LEFT}" y="{TOP + LINE * number}">{spans}</text>')
    print('</svg>')


if __name__ == '__main__':
    main()
