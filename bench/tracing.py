"""Measures the CPU time of a request with traces in several states, in one process on embedded stores.

`without` is the application with the calls of `app/telemetry/spans.py` removed; `off` is the default. Each state is
measured between two measurements of `without`, and medians and quartiles of the ratios are printed. Spans are made and
batched, and then discarded: the exporter sends them in its own thread, which is not measured.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.http.edge import tracing
from app.telemetry import spans
from config import Settings
from config.logs import configure
from tests.apps import BASE, System, embedded, running

ROUNDS, REQUESTS = 21, 400
SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002  they are discarded
        return SpanExportResult.SUCCESS


@contextmanager
def without() -> Iterator[None]:
    kept = {name: getattr(spans, name) for name in ("answered", "logged", "trace_id", "traceparent")}
    called = tracing.Traced.__call__
    tracing.Traced.__call__ = lambda self, environ, start_response: self._inner(environ, start_response)  # type: ignore[method-assign]
    for name in kept:
        setattr(spans, name, lambda *_: None)
    try:
        yield
    finally:
        tracing.Traced.__call__ = called  # type: ignore[method-assign]
        for name, function in kept.items():
            setattr(spans, name, function)


@contextmanager
def recording(share: float) -> Iterator[None]:
    provider = TracerProvider(ParentBasedTraceIdRatio(share), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    spans.use(provider)
    try:
        yield
    finally:
        spans.use(None)
        provider.shutdown()


def main() -> None:
    configure("warning", "console")
    with tempfile.TemporaryDirectory() as folder, running(Settings(**embedded(Path(folder)))) as system:
        ada, bob = system.person(), system.person()
        bob.put(f"/accounts/{ada.handle}/follow")
        posts = [ada.publish() for _ in range(20)]
        system.relay.drain()
        signed = {"Authorization": f"Bearer {bob.token}"}
        report(system, "kept post", f"/posts/{posts[0]}", {})
        report(system, "own feed", "/feed", signed)
        report(system, "profile", f"/accounts/{ada.handle}", signed)


def report(system: System, name: str, path: str, headers: dict[str, str]) -> None:
    sampled = {**headers, "traceparent": SENT}
    ways: dict[str, Callable[[], float]] = {
        "off": lambda: took(system, path, headers),
        "off, sent": lambda: took(system, path, sampled),
        "1 in 100": lambda: recorded(system, path, headers, 0.01),
        "all": lambda: recorded(system, path, headers, 1.0),
    }

    def base() -> float:
        with without():
            return took(system, path, headers)

    for measure in (base, *ways.values()):
        measure()
    bases = [base()]
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, measure in ways.items():
            spent = measure()
            bases.append(base())
            ratios[way].append(spent / statistics.mean(bases[-2:]))
    print(f"{name}: {statistics.median(bases):.0f} us without")
    for way, found in ratios.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"  {way:10} {middle:.3f} of it ({low:.3f} to {high:.3f})")


def recorded(system: System, path: str, headers: dict[str, str], share: float) -> float:
    with recording(share):
        return took(system, path, headers)


def took(system: System, path: str, headers: dict[str, str]) -> float:
    """The CPU time of this process per request, in microseconds."""
    environs = [EnvironBuilder(BASE + path, headers=Headers(headers)).get_environ() for _ in range(REQUESTS)]
    begun = time.process_time()
    for environ in environs:
        _, status, _ = run_wsgi_app(system.app.wsgi_app, environ)
    spent = (time.process_time() - begun) / REQUESTS * 1e6
    assert status == "200 OK"
    return spent


if __name__ == "__main__":
    main()
