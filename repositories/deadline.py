"""The moment by which the work at hand has to be done. A request has one, which its calls to the stores share.

Work without a request (the relay, a command, a body that is read while it is sent) has only those of single calls.
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
    """Seconds left inside a `within` block, and `beyond` its deadline; `default` outside of one.

    What is beyond is shared as well: whoever begins after the deadline has what the others left of it.
    """
    until = _until.get()
    return default + beyond if until is None else max(0.0, until + beyond - time.monotonic())


def at_most(seconds: float) -> float:
    """How long a call may take whose own deadline is in `seconds`."""
    return min(seconds, remaining(seconds))
