"""Spans sent to a collector by OTLP over HTTP, with OpenTelemetry's SDK: the extra `traces`, imported when wanted.

The SDK's own variables (`OTEL_SERVICE_NAME`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_*` and so on) count too.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.telemetry import spans


class ExtraMissing(Exception): ...


def load() -> Callable[[str, float], Any]:
    """Import the SDK: what makes a provider of tracers, for an address and a share. Raises `ExtraMissing`."""
    try:
        from app.telemetry.otlp import provider_to
    except ImportError as error:
        raise ExtraMissing("needs OpenTelemetry's SDK: install quartet[traces]") from error
    return provider_to


def export(url: str, sampled: float, engines: Mapping[str, str]) -> Callable[[], None]:
    """Record spans of this process, and send them to `url` by batches. Returns what sends the rest and ends it.

    `sampled` is the share of the traces that begin here; for others the caller has decided. `engines`: by store, the
    scheme of its URL.
    """
    provider = load()(url, sampled)
    spans.use(provider, systems(engines))

    def end() -> None:
        spans.use(None)
        provider.shutdown()

    return end


@contextmanager
def exported(url: str, sampled: float, engines: Mapping[str, str]) -> Iterator[None]:
    """As `export`, inside the block; nothing where `url` is empty."""
    end = export(url, sampled, engines) if url else None
    try:
        yield
    finally:
        if end:
            end()


def systems(engines: Mapping[str, str]) -> dict[str, str]:
    """What the conventions call them: by store, those of its replicas included."""
    named = {store: _named(scheme) for store, scheme in engines.items()}
    return named | {f"{store}-replica": system for store, system in named.items()}


def _named(scheme: str) -> str:
    family = scheme.partition("+")[0]
    return "redis" if family in {"rediss", "unix"} else family
