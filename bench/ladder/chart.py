"""Draws a chart of the ladder as SVG: answers per second on each rung, reads above writes."""

from collections.abc import Mapping
from pathlib import Path

from bench import svg
from bench.ladder.figures import Figures

WIDTH, LEFT, TOP, BAR, GAP, RIGHT = 900, 130, 64, 24, 34, 330
COLOURS = {"reads": "#1b6ca8", "writes": "#e0a030"}


def draw(found: Mapping[str, Figures], note: str, path: Path) -> None:
    height = TOP + sum(len(figures.rungs()) * BAR + GAP for figures in found.values())
    parts = svg.page(
        WIDTH,
        height,
        "The same traffic on each rung: one server process, 16 connections",
        f"{note}; medians of alternated rounds; client and engines on the same machine",
    )
    top = TOP
    for mix, figures in found.items():
        parts.append(svg.text(10, top + 14, mix, size=14))
        most = max(figures.of(rung).rate for rung in figures.rungs())
        for turn, rung in enumerate(figures.rungs()):
            parts += _bar(figures, rung, top + turn * BAR, most, COLOURS[mix])
        top += len(figures.rungs()) * BAR + GAP
    svg.write(parts, path)


def _bar(figures: Figures, rung: str, top: float, most: float, colour: str) -> list[str]:
    found = figures.of(rung)
    wide = max(1.0, found.rate / most * (WIDTH - LEFT - RIGHT))
    says = f"{found.rate:,.0f}/s, p50 {found.p50:.0f} ms, p99 {found.p99:.0f} ms, {found.busy:.1f} ms CPU of the server"
    return [
        svg.text(LEFT - 8, top + 15, rung, anchor="end"),
        f'<rect x="{LEFT}" y="{top}" width="{wide:.1f}" height="{BAR - 4}" fill="{colour}"/>',
        svg.text(LEFT + wide + 6, top + 14, says, size=11),
    ]
