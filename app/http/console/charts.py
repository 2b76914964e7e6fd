"""Small charts as SVG, drawn here: no script, and no style that a strict policy would refuse."""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT, PAD = 240, 36, 2


def line(values: Sequence[float], about: str) -> Markup:
    """A line from left to right, with what it shows in words for who cannot see it. Nothing of one value."""
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
