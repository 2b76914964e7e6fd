"""The deadline of the current work. A request has one deadline, shared by all its calls to the stores.

Work outside a request (the relay, a CLI command, a response body generated while it is sent) has only the deadlines of
its single calls.
"""

import time
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("quartet-deadline", default=None)


class within:  # noqa: N801  used as a verb; a class costs half of what a generator does
    """All calls inside the block share one deadline: `seconds` from now, or the outer block's if that is earlier."""

    __slots__ = ("_outer", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._outer = outer = _until.get()
        until = time.monotonic() + self._seconds
        _until.set(until if outer is None or until < outer else outer)

    def __exit__(self, *_: object) -> None:
        _until.set(self._outer)


def remaining(default: float, beyond: float = 0.0) -> float:
    """Seconds until the deadline of the `within` block, or `default` outside of one, plus `beyond`.

    The `beyond` seconds after the deadline are shared as well: a call that begins in them gets only what is left.
    """
    until = _until.get()
    return default + beyond if until is None else max(0.0, until + beyond - time.monotonic())


def at_most(seconds: float) -> float:
    """The seconds a call may take: `seconds`, or less if the current deadline is earlier."""
    return min(seconds, remaining(seconds))
