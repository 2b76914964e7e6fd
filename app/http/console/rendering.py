"""Formats numbers and times for the console's templates, and sets the header fields of all its pages."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response

from app.http.console import charts
from app.http.console.away import Away
from app.http.console.panels import now
from app.http.edge.caching import PRIVATE

# Only our own files as scripts and styles, no frames, no forms to other sites.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
FIELDS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": PRIVATE,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NONE = "\N{EN DASH}"
UNITS = {"d": 86_400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}


def register(blp: Blueprint) -> None:
    """Add the filters, tests and functions that the templates use."""
    for form in (seconds, rate, count, size, figure, share, age):
        blp.add_app_template_filter(form)
    blp.add_app_template_test(lambda found: isinstance(found, Away), "away")
    blp.add_app_template_global(charts.line, "chart")


def protect(answer: Response) -> Response:
    answer.headers.update(FIELDS)
    return answer


def seconds(value: float | None) -> str:
    """A duration with its unit, in at most three digits."""
    if value is None:
        return NONE
    unit = next((unit for unit, bound in UNITS.items() if value >= bound), "µs")
    scaled = value / UNITS[unit]
    return f"{scaled:.3g} {unit}" if scaled < 100 else f"{scaled:.0f} {unit}"


def rate(value: float | None) -> str:
    """A rate per second."""
    if value is None:
        return NONE
    return "0" if value == 0 else f"{value:.2g}" if value < 1 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """A size in bytes, with a decimal unit."""
    if value is None:
        return NONE
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def figure(value: float | None, name: str) -> str:
    """The value of an engine's level `name`: a count for connections, else a size in bytes."""
    return count(value) if "connections" in name else size(value)


def share(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def age(at: datetime | None) -> str:
    """How long ago, in whole units."""
    if at is None:
        return NONE
    past = (now() - at).total_seconds()
    if past < 1:
        return "under 1 s"
    unit = next(unit for unit, bound in UNITS.items() if past >= bound)
    return f"{past // UNITS[unit]:.0f} {unit}"


def moment() -> dict[str, Any]:
    at = now().astimezone(UTC)
    return {"at": at.isoformat(timespec="seconds"), "clock": f"{at:%H:%M:%S}"}
