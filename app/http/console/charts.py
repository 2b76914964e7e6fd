"""Small inline SVG charts, without scripts or inline styles, which the Content-Security-Policy forbids."""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT, PAD = 240, 36, 2


def line(values: Sequence[float], about: str) -> Markup:
    """A line chart of `values`, oldest first; empty for fewer than two. `about` is its text alternative."""
    if len(values) < 2:
        return Markup("")
    most = max(values) or 1.0
    step = (WIDTH - 2 * PAD) / (len(values) - 1)
    points = [(PAD + n * step, HEIGHT - PAD - value / most * (HEIGHT - 2 * PAD)) for n, value in enumerate(values)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{HEIGHT} {drawn} {points[-1][0]:.1f},{HEIGHT}"
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">'
        '<polygon class="area" points="{}"/><polyline class="line" points="{}"/></svg>'
    ).format(WIDTH, HEIGHT, about, area, drawn)
