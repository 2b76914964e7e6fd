"""The only module that imports OpenTelemetry's SDK, which comes with the extra `traces`."""

from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

PATH = "/v1/traces"
# Timeout of one attempt to send. At exit, a process waits this long for a collector that is away.
SECONDS = 2.0


def provider_to(url: str, sampled: float) -> TracerProvider:
    """Create a tracer provider that sends spans to `url`. It starts a thread. `sampled` is as in `exporting.export`."""
    resource = Resource.create({"service.name": "quartet", "service.version": version("quartet")})
    provider = TracerProvider(ParentBasedTraceIdRatio(sampled), resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(url.rstrip("/").removesuffix(PATH) + PATH, timeout=SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
