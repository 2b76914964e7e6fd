"""The directory in which a server's processes share metrics; set before `app.telemetry.series` is imported."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shared() -> Iterator[None]:
    """A new directory for all processes started inside the block."""
    with tempfile.TemporaryDirectory(prefix="quartet-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


@contextmanager
def served(host: str, port: int) -> Iterator[None]:
    """Serve the metrics of this process, unless the port is 0."""
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
    """Have this process take part."""
    from app.telemetry.series import install, keep_sampling

    install()
    keep_sampling()
