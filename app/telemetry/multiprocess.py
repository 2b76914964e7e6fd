"""The directory in which a server's processes share metrics. Set it before `app.telemetry.series` is imported."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shared() -> Iterator[None]:
    """Make a temporary directory the shared one for all processes started inside the block."""
    with tempfile.TemporaryDirectory(prefix="quartet-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


@contextmanager
def served(host: str, port: int) -> Iterator[None]:
    """Serve the metrics of this process inside the block, unless the port is 0."""
    if not port:
        yield
        return
    from app.telemetry import exposition

    record()
    end = exposition.serve(host, port, exposition.registry())
    try:
        yield
    finally:
        end()


def record() -> None:
    """Record metrics in this process, and sample its pools."""
    from app.telemetry.series import install, keep_sampling

    install()
    keep_sampling()
