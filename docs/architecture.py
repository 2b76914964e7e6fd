"""Draws `architecture.svg` out of `architecture.toml`: `make picture`."""

import tomllib
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEFT, WIDE, CANVAS = 40, 880, 980
ROLES = {"relational": "#2f6db5", "documents": "#2f8f4e", "feeds": "#8a56c2", "hot": "#cc4136"}
LIGHT = {
    "paper": "#ffffff", "band": "#f3f5f8", "edge": "#d4dae3", "chip": "#ffffff", "ink": "#1d2430", "soft": "#596579",
}  # fmt: skip
DARK = {
    "paper": "#12161d", "band": "#1b212b", "edge": "#374151", "chip": "#262e3a", "ink": "#eef1f6", "soft": "#a8b3c4",
}  # fmt: skip


def draw(source: dict[str, Any]) -> str:
    """The picture: requests come from above, events leave below. It has its own paper, light or dark."""
    http, services = source["layer"]
    body = [
        f'<rect class="paper" width="{CANVAS}" height="704" rx="12"/>',
        *_callers(source),
        *_band(http, top=118),
        _arrow(480, 214, 480, 248),
        _text(490, 235, source["calls"], "soft small"),
        *_band(services, top=248),
        _arrow(480, 344, 480, 374),
        _text(490, 363, source["asks"], "soft small"),
        *_stores(source),
        *_band(source["worker"], top=592),
        '<path class="line dashed" d="M920 166 H948 V475 H907" marker-end="url(#head)"/>',
        f'<text class="soft small" transform="translate(964 372) rotate(-90)">{escape(source["kept"])}</text>',
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {CANVAS} 704" role="img" '
        f'aria-labelledby="title about">\n'
        f'<title id="title">{escape(source["title"])}</title>\n<desc id="about">{escape(source["about"])}</desc>\n'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path class="tip" d="M0 0 L8 4 L0 8 Z"/></marker></defs>'
    )
    return "\n".join([head, f"<style>\n{_style()}\n</style>", *body, "</svg>", ""])


def _callers(source: dict[str, Any]) -> list[str]:
    return [
        '<rect class="chip" x="290" y="24" width="380" height="54" rx="27"/>',
        _text(480, 47, source["callers"], "ink strong middle"),
        _text(480, 66, source["protocol"], "soft small middle"),
        _arrow(480, 78, 480, 118),
    ]


def _band(layer: dict[str, Any], *, top: int) -> list[str]:
    """A layer over the whole width: its path, what it is, and its parts side by side."""
    parts = layer["parts"]
    wide = (WIDE - 32 - 10 * (len(parts) - 1)) / len(parts)
    out = [f'<rect class="band" x="{LEFT}" y="{top}" width="{WIDE}" height="96" rx="10"/>', *_heading(layer, top)]
    for at, part in enumerate(parts):
        x = LEFT + 16 + at * (wide + 10)
        out.append(f'<rect class="chip" x="{x:.1f}" y="{top + 42}" width="{wide:.1f}" height="38" rx="7"/>')
        out.append(_text(x + wide / 2, top + 66, part, "ink part middle"))
    return out


def _heading(layer: dict[str, Any], top: int) -> list[str]:
    return [
        _text(LEFT + 16, top + 27, layer["path"], "ink strong"),
        _text(LEFT + WIDE - 16, top + 27, layer["about"], "soft small end"),
    ]


def _stores(source: dict[str, Any]) -> list[str]:
    out = [f'<rect class="band" x="{LEFT}" y="374" width="{WIDE}" height="178" rx="10"/>']
    out += _heading(source["ports"], 374)
    for at, store in enumerate(source["store"]):
        x = LEFT + 16 + at * 214.5
        colour = ROLES[store["role"]]
        out += [
            f'<rect class="chip" x="{x:.1f}" y="414" width="204.5" height="122" rx="7"/>',
            f'<rect x="{x:.1f}" y="414" width="204.5" height="6" rx="3" fill="{colour}"/>',
            _text(x + 14, 445, store["role"], "ink strong"),
            _text(x + 14, 464, store["engine"], "soft small"),
            *(_text(x + 14, 489 + 17 * n, line, "ink small") for n, line in enumerate(store["holds"])),
            _text(x + 14, 527, store["note"], "soft tiny"),
        ]
        ends = (536, 592) if store["flow"] == "down" else (592, 536)
        out += [
            _flow(_middle(at), *ends, colour),
            _text(_middle(at) + 10, 577, store["link"], "soft small"),
        ]
    return out


def _middle(at: int) -> float:
    return LEFT + 16 + at * 214.5 + 102.25


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="line" d="M{x1:g} {y1:g} L{x2:g} {y2:g}" marker-end="url(#head)"/>'


def _flow(x: float, start: int, end: int, colour: str) -> str:
    return f'<path class="flow" stroke="{colour}" d="M{x:.1f} {start} V{end}" marker-end="url(#head)"/>'


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _style() -> str:
    dark = _colours(DARK).replace("\n", "\n  ")
    return f"""text {{ font-size: 15px; font-family: system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif }}
text.strong {{ font-weight: 600 }} text.small {{ font-size: 13px }} text.part {{ font-size: 14px }}
text.tiny {{ font-size: 12px }}
text.middle {{ text-anchor: middle }} text.end {{ text-anchor: end }}
.line, .flow {{ fill: none; stroke-width: 1.6 }} .dashed {{ stroke-dasharray: 5 4 }}
{_colours(LIGHT)}
@media (prefers-color-scheme: dark) {{
  {dark}
}}"""


def _colours(of: dict[str, str]) -> str:
    return "\n".join([
        f".paper {{ fill: {of['paper']} }} .band {{ fill: {of['band']}; stroke: {of['edge']} }}",
        f".chip {{ fill: {of['chip']}; stroke: {of['edge']} }} .line {{ stroke: {of['soft']} }}",
        f".tip, .soft {{ fill: {of['soft']} }} .ink {{ fill: {of['ink']} }}",
    ])  # fmt: skip


if __name__ == "__main__":
    text = (HERE / "architecture.toml").read_text(encoding="utf-8")
    (HERE / "architecture.svg").write_text(draw(tomllib.loads(text)), encoding="utf-8")
