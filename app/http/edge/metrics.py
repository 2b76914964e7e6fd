"""The route `/metrics` for Prometheus, and the metrics of each answer."""

from collections.abc import Callable
from functools import partial
from typing import cast

from flask import Flask, Response, request

from app.container import Container
from app.http.edge.deps import CONTAINER
from app.metrics_server import registry_of
from app.telemetry import spans
from app.telemetry.history import Collect, History

RECORDER = "quartet-recorder"
HISTORY = "quartet-history"
UNKNOWN = "unknown"
Recorder = Callable[[str, str, int, float], None]


def register(app: Flask) -> None:
    """Set up metrics, unless they are switched off. The route is omitted if metrics are served on their own address."""
    container = cast("Container", app.extensions[CONTAINER])
    app.extensions[RECORDER] = _discard
    if not container.settings.metrics:
        return
    # Imported here, because the server must first set the directory in which its processes share metrics.
    from app.telemetry import exposition, series

    app.extensions[RECORDER] = series.install().answered
    collect: Collect = exposition.registry().collect
    if container.settings.relays:
        from app.telemetry.relays import Relays

        collect = partial(Relays(container.settings.relays).beside, collect)
    app.extensions[HISTORY] = History(collect, series.directory())
    if container.settings.metrics_address:
        return
    registry = registry_of(container)

    def scrape() -> Response:
        """Give all series of this server. Never waits long for a store."""
        text, content_type = exposition.rendered(registry, request.headers.get("Accept", ""))
        return Response(text, content_type=content_type)

    app.add_url_rule("/metrics", "metrics", scrape)


def answered(app: Flask, route: str | None, method: str, status: int, seconds: float) -> None:
    """Count an answer that took `seconds`. Requests without a matching route share one series."""
    record = cast("Recorder", app.extensions[RECORDER])
    record(route or UNKNOWN, method if method in spans.METHODS else UNKNOWN, status, seconds)
    spans.answered(route, method, status)


def _discard(_route: str, _method: str, _status: int, _seconds: float) -> None: ...
