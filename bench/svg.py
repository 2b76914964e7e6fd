"""SVG parts that the charts share: a page with a title and a note, and text."""

from collections.abc import Iterable
from html import escape
from pathlib import Path


def page(width: int, height: float, title: str, note: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        text(10, 22, title, size=16),
        text(10, 42, note),
    ]


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def write(parts: Iterable[str], path: Path) -> None:
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")
