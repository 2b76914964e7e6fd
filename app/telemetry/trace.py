"""The trace: the id of the request that everything follows from, in whatever thread it is followed up.

A request's id is set by `http/tracing.py`; events carry it, and the relay sets it again around their handlers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("trace", default="")


def current() -> str:
    """Empty where nothing is traced."""
    return _current.get()


def begin(trace: str) -> None:
    """For the rest of this context."""
    _current.set(trace)


@contextmanager
def within(trace: str) -> Iterator[None]:
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
