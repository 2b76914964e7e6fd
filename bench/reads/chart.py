"""Draws a chart of reads as SVG: answers per second of each way, one group per page."""

from collections.abc import Mapping
from pathlib import Path

from bench import svg
from bench.reads.figures import WAYS, Figures

WIDTH, LEFT, TOP, BAR, GAP, RIGHT = 900, 200, 64, 22, 34, 190
COLOURS = {"bare": "#b8b8b8", "hello": "#8a8a8a", "fast": "#1b6ca8", "flask": "#4aa3df", "uncached": "#e0a030"}


def draw(found: Mapping[str, Figures], note: str, path: Path) -> None:
    tall = len(WAYS) * BAR + GAP
    height = TOP + len(found) * tall
    most = max(figures.rate("bare") for figures in found.values())
    parts = svg.page(
        WIDTH,
        height,
        "Reads a second on one server: 2 processes of 4 threads, 32 connections",
        f"{note}; medians of alternated rounds; load client and stores on the same machine",
    )
    for number, (page, figures) in enumerate(found.items()):
        top = TOP + number * tall
        parts.append(svg.text(10, top + 14, page, size=14))
        for turn, way in enumerate(WAYS):
            parts += _bar(figures, way, top + turn * BAR, most)
    svg.write(parts, path)


def _bar(figures: Figures, way: str, top: float, most: float) -> list[str]:
    wide = max(1.0, figures.rate(way) / most * (WIDTH - LEFT - RIGHT))
    says = f"{figures.rate(way):,.0f} ({figures.ratio(way, 'hello'):.2f} of hello, {figures.busy(way):,.0f} us CPU)"
    return [
        svg.text(LEFT - 8, top + 15, WAYS[way], anchor="end"),
        f'<rect x="{LEFT}" y="{top}" width="{wide:.1f}" height="{BAR - 4}" fill="{COLOURS[way]}"/>',
        svg.text(LEFT + wide + 6, top + 14, says, size=11),
    ]
