"""Draws a chart of signed-in reads as SVG: the CPU time per request, by group of processes, for each route."""

from collections.abc import Mapping
from pathlib import Path

from bench import svg
from bench.signed_in.figures import GROUPS, Figures, label

WIDTH, LEFT, TOP, BAR, GAP, RIGHT = 940, 280, 84, 20, 34, 170
THINNEST = 0.1
COLOURS = dict(zip(GROUPS, ["#1b6ca8", "#8ab6d6", "#e0a030", "#7a5c99", "#4f9d69", "#c0504d"], strict=True))


def draw(found: Mapping[str, Figures], note: str, path: Path) -> None:
    height = TOP + sum(len(figures.ways) * BAR + GAP for figures in found.values())
    parts = svg.page(
        WIDTH,
        height,
        "Signed-in reads: processor milliseconds of all processes for one request",
        f"{note}; medians of alternated rounds, 8 connections; each group has a scale of its own",
    )
    for place, (group, colour) in enumerate(COLOURS.items()):
        left = 10 + place * 110
        parts += [
            f'<rect x="{left}" y="54" width="12" height="12" fill="{colour}"/>',
            svg.text(left + 17, 64, group, size=11),
        ]
    top = TOP
    for figures in found.values():
        parts.append(svg.text(10, top + 14, figures.route.name, size=14))
        top += BAR
        most = max(figures.total(way).median for way in figures.ways)
        for way in figures.ways:
            parts += _bar(figures, way, top, most)
            top += BAR
        top += GAP - BAR
    svg.write(parts, path)


def _bar(figures: Figures, way: str, top: int, most: float) -> list[str]:
    scale = (WIDTH - LEFT - RIGHT) / most
    parts, left = [svg.text(LEFT - 8, top + 14, label(way), anchor="end")], float(LEFT)
    for group, colour in COLOURS.items():
        wide = figures.busy(way, group) * scale
        if wide >= THINNEST:
            parts.append(f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{BAR - 4}" fill="{colour}"/>')
        left += wide
    says = f"{figures.total(way).median:.2f} ms, {figures.rate(way).median:,.0f}/s"
    return [*parts, svg.text(left + 6, top + 13, says, size=11)]
