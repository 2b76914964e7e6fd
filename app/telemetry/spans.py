"""Spans by OpenTelemetry's API: of requests, of their calls to the stores, of the relay's work.

Without a provider (`use`) nothing is recorded, at almost no cost; the caller's trace context is still propagated to
events and log lines. Spans contain no personal data: no path, no parameter of a statement, no account id. Names follow
the semantic conventions 1.44. See docs/decisions/0032-traces.md.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from repositories import meter

PARENT, STATE = "HTTP_TRACEPARENT", "HTTP_TRACESTATE"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Paths polled by machines every few seconds. Traced only if the caller sends a trace context.
QUIET = ("/health/", "/metrics")
_ROOT: Final = Context()
_w3c = TraceContextTextMapPropagator()
_tracer: Tracer | None = None
_systems: Mapping[str, str] = {}
Attributes = dict[str, str | int]
CLIENT, CONSUMER, PRODUCER = SpanKind.CLIENT, SpanKind.CONSUMER, SpanKind.PRODUCER


def use(provider: TracerProvider | None, systems: Mapping[str, str] | None = None) -> None:
    """Record spans in this process from now on; None stops it. `systems` is OpenTelemetry's system name by store."""
    global _tracer, _systems  # noqa: PLW0603  one process, one provider; the adapters are made before it
    _tracer = None if provider is None else provider.get_tracer("quartet")
    _systems = systems or {}
    meter.trace(_called if _tracer else None)


def traceparent() -> str:
    """The `traceparent` of the current context (W3C Trace Context); empty without a trace."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get("traceparent", "")


def trace_id() -> str | None:
    """The id of the current trace if it is recorded here, so that exemplars may refer to it; else None."""
    if _tracer is None:
        return None
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.trace_flags.sampled else None


def logged() -> str | None:
    """The id of the current trace for a log line, recorded or not; None without a trace."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else None


class request:  # noqa: N801  used as a verb; a class costs half of what a generator does
    """Context manager around a request. The request joins the caller's trace if a well-formed `traceparent` is sent."""

    __slots__ = ("_environ", "_span", "_token")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __enter__(self) -> None:
        self._token = self._span = None
        if PARENT in self._environ:
            sent = {"traceparent": self._environ[PARENT], "tracestate": self._environ.get(STATE, "")}
            context = _w3c.extract(sent, _ROOT)
        elif _tracer is None or self._environ.get("PATH_INFO", "").startswith(QUIET):
            return
        else:
            context = _ROOT
        if _tracer is not None:
            attributes = {"url.scheme": self._environ.get("wsgi.url_scheme", "http")}
            self._span = _tracer.start_span("HTTP", context, SpanKind.SERVER, attributes)
            context = trace.set_span_in_context(self._span, context)
        self._token = contexts.attach(context)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            contexts.detach(self._token)
        if self._span is not None:
            self._span.end()


def answered(route: str | None, method: str, status: int) -> None:
    """Name the request's span and set its attributes.

    `route` is the URL rule and not the path, which may contain people's handles.
    """
    span = None if _tracer is None else trace.get_current_span()
    if span is None or not span.is_recording():
        return
    known = method in METHODS
    span.update_name(" ".join(filter(None, (method if known else "HTTP", route))))
    span.set_attributes({"http.request.method": method if known else "_OTHER", "http.response.status_code": status})
    if route:
        span.set_attribute("http.route", route)
    if status >= 500:
        _fail(span, str(status))


class step:  # noqa: N801  as above
    """Context manager around a step, as a child of the current span, or of `parent`, a `traceparent`.

    `links` are the traceparents of other causes of the step; they are consumed only if spans are recorded. `expected`
    errors do not mark the span as failed.
    """

    __slots__ = ("_attributes", "_expected", "_kind", "_links", "_name", "_parent", "_span", "_token")

    def __init__(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        parent: str | None = None,
        links: Iterable[str] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._parent = parent
        self._links = links
        self._kind = kind
        self._expected = expected

    def __enter__(self) -> None:
        self._token = self._span = None
        context = None if self._parent is None else _w3c.extract({"traceparent": self._parent}, _ROOT)
        if _tracer is not None:
            links = [Link(found) for sent in self._links if (found := _span_context(sent)).is_valid]
            self._span = _tracer.start_span(self._name, context, self._kind, self._attributes, links)
            context = trace.set_span_in_context(self._span, context)
        if context is not None:
            self._token = contexts.attach(context)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._token is not None:
            contexts.detach(self._token)
        if self._span is not None:
            if kind is not None and not issubclass(kind, self._expected):
                _fail(self._span, kind.__name__)
            self._span.end()


def also(links: Iterable[str], attributes: Attributes) -> None:
    """Add links and attributes to the current span. `links` are consumed only if it is recorded."""
    span = trace.get_current_span()
    if _tracer is not None and span.is_recording():
        span.set_attributes(attributes)
        for sent in links:
            if (found := _span_context(sent)).is_valid:
                span.add_link(found)


def failed(error: Exception) -> None:
    """Mark the current span as failed, by an error that is handled and not raised further."""
    span = trace.get_current_span()
    if _tracer is not None and span.is_recording():
        _fail(span, type(error).__name__)


def _span_context(traceparent: str) -> SpanContext:
    return trace.get_current_span(_w3c.extract({"traceparent": traceparent}, _ROOT)).get_span_context()


def _fail(span: Span, why: str) -> None:
    """Mark a span as failed. `why` is an error type, never an error's text, which may quote user input."""
    span.set_attribute("error.type", why)
    span.set_status(StatusCode.ERROR)


def _called(store: str, operation: str, trips: int, seconds: float, *, ok: bool) -> None:
    """Record a call to a store that has just ended. Called on the thread that made it."""
    if _tracer is None or not trace.get_current_span().is_recording():
        return
    end = time.time_ns()
    attributes: Attributes = {"quartet.store": store, "quartet.round_trips": trips}
    # Brokers, receivers of webhooks and the search service are not databases.
    if store in _systems:
        attributes["db.system.name"] = _systems[store]
        attributes["db.operation.name"] = operation.partition(" ")[0]
        attributes["db.query.summary"] = operation
    span = _tracer.start_span(operation, None, SpanKind.CLIENT, attributes, start_time=end - int(seconds * 1e9))
    if not ok:
        _fail(span, "_OTHER")
    span.end(end)
