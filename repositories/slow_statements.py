"""Logs slow statements with their query plans, and never with parameter values.

One thread asks for the plans after the calls have ended, at most once per `AGAIN_SECONDS` for each statement, so that a
slow store gets little extra load.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from contextvars import Context, copy_context
from queue import Full, Queue
from typing import NamedTuple

log = logging.getLogger(__name__)
# How many statements may wait for their plan, and the interval at which one statement is logged again.
WAITING, AGAIN_SECONDS = 16, 60.0


class Explained(NamedTuple):
    """The text of a statement, with placeholders instead of values, and its query plan."""

    text: str
    plan: str = ""


class Statement(NamedTuple):
    """What a call sends. `key` identifies the statement; `explain` asks the store for its plan, after the call."""

    key: Hashable
    explain: Callable[[], Explained]


class _Slow(NamedTuple):
    store: str
    operation: str
    seconds: float
    statement: Statement
    context: Context


_threshold: float | None = None
_waiting: Queue[_Slow] = Queue(WAITING)
_guard = threading.Lock()
_thread: threading.Thread | None = None
_noted: dict[tuple[str, Hashable], float] = {}


def log_after(seconds: float) -> None:
    """Log the statements of this process that take at least `seconds`; 0 turns this off."""
    global _threshold  # noqa: PLW0603  one process, one log
    _threshold = seconds or None


def of(key: Hashable, explain: Callable[[], Explained]) -> Statement | None:
    """The statement for `meter.asked`; None while logging is off."""
    return None if _threshold is None else Statement(key, explain)


def took(store: str, operation: str, seconds: float, statement: Statement) -> None:
    """Report a finished call; it is logged if it was slow."""
    if _threshold is None or seconds < _threshold:
        return
    now = time.monotonic()
    with _guard, suppress(Full):
        if now - _noted.get((store, statement.key), -AGAIN_SECONDS) >= AGAIN_SECONDS:
            _waiting.put_nowait(_Slow(store, operation, seconds, statement, copy_context()))
            _noted[store, statement.key] = now
            _begin()


def _begin() -> None:
    global _thread  # noqa: PLW0603  as above
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_explain_on, name="slow-statements", daemon=True)
        _thread.start()


def _explain_on() -> None:
    while True:
        slow = _waiting.get()
        try:
            found = slow.statement.explain()
        except Exception as error:  # noqa: BLE001  whatever a driver raises; it may quote a value
            found = Explained("", f"not explained: {type(error).__name__}")
        # In the context of the call, so that the line has the ids of its request and trace.
        slow.context.run(_log, slow, found)


def _log(slow: _Slow, found: Explained) -> None:
    about = (slow.store, slow.operation, slow.seconds, found.text, found.plan)
    log.warning("slow statement of %s: %s took %.3f s\n%s\n%s", *about)
