"""Draws a chart of first pages as SVG: a group per kind of reader and size, on a logarithmic scale in milliseconds."""

import math
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench import svg

WIDTH, LEFT, TOP, BAR, GAP, FOOT = 900, 250, 70, 13, 12, 40
LOWEST, HIGHEST = 0.1, 10_000.0
COLOURS = {"Quartet": "#1b6ca8", "best SQL": "#e0a030", "SQL join": "#b8b8b8"}


class Bar(Struct, frozen=True):
    group: str
    line: str
    milliseconds: float


def draw(bars: Sequence[Bar], note: str, path: Path) -> None:
    groups = list(dict.fromkeys(bar.group for bar in bars))
    tall = len(COLOURS) * BAR + GAP
    height = TOP + len(groups) * tall + FOOT
    parts = [
        *svg.page(WIDTH, height, "Home feed, first page of 20, median ms by followees and posts", note),
        *_legend(),
        *_scale(height),
    ]
    for number, group in enumerate(groups):
        top = TOP + number * tall
        parts.append(svg.text(LEFT - 8, top + 1.5 * BAR + 4, group, anchor="end"))
        some = [bar for bar in bars if bar.group == group]
        parts += [part for turn, bar in enumerate(some) for part in _bar(bar, top + turn * BAR)]
    svg.write(parts, path)


def _bar(bar: Bar, top: float) -> list[str]:
    wide = max(1.0, _x(bar.milliseconds) - LEFT)
    return [
        f'<rect x="{LEFT}" y="{top}" width="{wide:.1f}" height="{BAR - 2}" fill="{COLOURS[bar.line]}"/>',
        svg.text(
            LEFT + wide + 4,
            top + BAR - 3,
            f"{bar.milliseconds:,.2g}" if bar.milliseconds < 10 else f"{bar.milliseconds:,.0f}",
            size=10,
        ),
    ]


def _legend() -> list[str]:
    parts = []
    for number, (line, colour) in enumerate(COLOURS.items()):
        left = 620 + number * 90
        parts += [f'<rect x="{left}" y="13" width="10" height="10" fill="{colour}"/>', svg.text(left + 14, 22, line)]
    return parts


def _scale(height: int) -> list[str]:
    parts = []
    for power in range(round(math.log10(LOWEST)), round(math.log10(HIGHEST)) + 1):
        x = _x(10.0**power)
        parts.append(f'<path d="M{x:.1f} {TOP - 6}V{height - FOOT}" stroke="#ddd"/>')
        parts.append(svg.text(x, height - FOOT + 16, f"{10.0**power:,g} ms", anchor="middle"))
    return parts


def _x(milliseconds: float) -> float:
    share = math.log10(max(LOWEST, milliseconds) / LOWEST) / math.log10(HIGHEST / LOWEST)
    return LEFT + share * (WIDTH - LEFT - 60)
