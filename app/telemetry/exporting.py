"""Sends spans to a collector by OTLP over HTTP. Needs OpenTelemetry's SDK (the extra `traces`), imported on demand.

The SDK's own variables (`OTEL_SERVICE_NAME`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_*` and so on) apply as well.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.telemetry import spans


class ExtraMissing(Exception): ...


def load() -> Callable[[str, float], Any]:
    """Import the SDK and return `otlp.provider_to`, which creates a tracer provider. Raises `ExtraMissing`."""
    try:
        from app.telemetry.otlp import provider_to
    except ImportError as error:
        raise ExtraMissing("needs OpenTelemetry's SDK: install quartet[traces]") from error
    return provider_to


def export(url: str, sampled: float, engines: Mapping[str, str]) -> Callable[[], None]:
    """Record spans of this process and send them to `url` in batches. Returns a function that sends the rest and stops.

    `sampled` is the share (0 to 1) of the traces begun here that are recorded; for other traces the caller decides.
    `engines` has the scheme of each store's URL. Raises `ExtraMissing`.
    """
    provider = load()(url, sampled)
    spans.use(provider, systems(engines))

    def end() -> None:
        spans.use(None)
        provider.shutdown()

    return end


@contextmanager
def exported(url: str, sampled: float, engines: Mapping[str, str]) -> Iterator[None]:
    """Export spans inside the block as `export` does; do nothing if `url` is empty."""
    end = export(url, sampled, engines) if url else None
    try:
        yield
    finally:
        if end:
            end()


def systems(engines: Mapping[str, str]) -> dict[str, str]:
    """The `db.system.name` of the semantic conventions, by store and by `<store>-replica`."""
    named = {store: _named(scheme) for store, scheme in engines.items()}
    return named | {f"{store}-replica": system for store, system in named.items()}


def _named(scheme: str) -> str:
    family = scheme.partition("+")[0]
    return "redis" if family in {"rediss", "unix"} else family
