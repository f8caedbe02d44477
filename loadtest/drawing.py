"""Line charts as SVG text, with nothing to load.

Pure. Must not know what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 26, 40
COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#57606a")
TICKS_WANTED = 5

Points = Sequence[tuple[float, float]]


class Axis(NamedTuple):
    """What an axis is called, from where to where it goes, and its marks: (value, text)."""

    label: str
    first: float
    last: float
    marks: Sequence[tuple[float, str]]

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1."""
        return (value - self.first) / (self.last - self.first)


def axis(label: str, values: Sequence[float]) -> Axis:
    """From 0 over the highest value, with round marks."""
    step = round_step(max(values, default=0.0) / TICKS_WANTED)
    count = max(1, math.ceil(max(values, default=0.0) / step))
    return Axis(label, 0.0, count * step, [(i * step, f"{i * step:,.10g}") for i in range(count + 1)])


def round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, not below this."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def chart(title: str, across: Axis, up: Axis, lines: Mapping[str, Points]) -> str:
    """One `<svg>`: axes, a line a name in a colour of its own, and which is which."""
    parts = [f'<text x="{LEFT}" y="16" class="title">{escape(title)}</text>']
    parts += [_mark_across(across, value, text) for value, text in across.marks]
    parts += [_mark_up(up, value, text) for value, text in up.marks]
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" class="end">{escape(across.label)}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{_x(across, x):.1f},{_y(up, y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(lines) > 1:
            at = f'x="{LEFT + 8}" y="{TOP + 14 + 14 * number}"'
            parts.append(f'<text {at} style="fill:{colour}">{escape(name)}</text>')
    label = escape(f"{title}: {up.label} by {across.label}")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _x(across: Axis, value: float) -> float:
    return LEFT + across.share(value) * (WIDTH - LEFT - RIGHT)


def _y(up: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - up.share(value) * (HEIGHT - TOP - BOTTOM)


def _mark_across(across: Axis, value: float, text: str) -> str:
    x = _x(across, value)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    return f'{line}<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}" class="middle">{escape(text)}</text>'


def _mark_up(up: Axis, value: float, text: str) -> str:
    y = _y(up, value)
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{escape(text)}</text>'
