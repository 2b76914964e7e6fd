"""Spans for tests: those recorded in this process, and those that an OTLP receiver got."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import StatusCode

from app.telemetry import spans
from app.telemetry.exporting import systems
from tests.apps import ROLES


@dataclass
class FoundSpan:
    """One span. Ids are as in a `traceparent`; `parent` is empty for a root, `links` are (trace, span)."""

    trace: str
    id: str
    parent: str
    kind: str
    name: str
    attributes: dict[str, object]
    links: list[tuple[str, str]]
    failed: bool
    seconds: float
    resource: Mapping[str, object] = field(default_factory=dict)


class Spans(list[FoundSpan]):
    """Spans, in the order in which they ended."""

    def named(self, name: str) -> list[FoundSpan]:
        return [one for one in self if one.name == name]

    def one(self, name: str) -> FoundSpan:
        [found] = self.named(name)
        return found

    def below(self, span: FoundSpan) -> list[FoundSpan]:
        return [one for one in self if one.parent == span.id]

    def under(self, span: FoundSpan) -> list[FoundSpan]:
        """The descendants of a span."""
        return [below for child in self.below(span) for below in (child, *self.under(child))]


class SpanRecorder:
    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()

    @contextmanager
    def recording(self, sampled: float = 1.0) -> Iterator[None]:
        provider = TracerProvider(ParentBasedTraceIdRatio(sampled), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        spans.use(provider, systems(dict.fromkeys(ROLES, "sqlite")))
        try:
            yield
        finally:
            spans.use(None)

    @property
    def story(self) -> Spans:
        return Spans(_read(one) for one in self._kept.get_finished_spans())

    def forget(self) -> None:
        self._kept.clear()


def _read(span: ReadableSpan) -> FoundSpan:
    context = span.get_span_context()
    assert context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    return FoundSpan(
        trace=f"{context.trace_id:032x}",
        id=f"{context.span_id:016x}",
        parent=f"{span.parent.span_id:016x}" if span.parent else "",
        kind=span.kind.name,
        name=span.name,
        attributes=dict(span.attributes or {}),
        links=[(f"{one.context.trace_id:032x}", f"{one.context.span_id:016x}") for one in span.links],
        failed=span.status.status_code is StatusCode.ERROR,
        seconds=(span.end_time - span.start_time) / 1e9,
    )


class Receiver:
    """Receives spans at `/v1/traces`, by OTLP over HTTP."""

    def __init__(self) -> None:
        self.story = Spans()
        self.port = 0

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.story += [_received(span, resource) for span in of_scope.spans]


@contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            well = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if well:
                found.take(body)
            self.send_response(200 if well else 400)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None: ...  # noqa: A002  its name there

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def _received(span: Sent, resource: Mapping[str, object]) -> FoundSpan:
    return FoundSpan(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        name=span.name,
        attributes=_values(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        failed=span.status.code == 2,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        resource=resource,
    )


def _values(fields: Sequence[KeyValue]) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in fields}
