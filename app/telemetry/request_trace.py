"""The trace: the id of the request that caused the current work, in a context variable.

`http/edge/tracing.py` sets it, events carry it, and the relay sets it again around their handlers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("trace", default="")


def current() -> str:
    """The current trace; empty without one."""
    return _current.get()


def begin(trace: str) -> None:
    """Set the trace for the rest of this context."""
    _current.set(trace)


@contextmanager
def within(trace: str) -> Iterator[None]:
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
