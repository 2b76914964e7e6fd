"""Resolves host names with a deadline, which the C library does not support.

Each name that is being resolved has one thread, shared by all callers that wait for it: a name whose servers do not
answer does not delay other names, however often it is asked for. No thread outlives the process.
"""

import socket
import threading
from concurrent.futures import Future
from typing import Any

Found = list[Any]
_Name = tuple[str, int]
_lock = threading.Lock()
_under_way: dict[_Name, Future[Found]] = {}


def look_up(host: str, port: int, seconds: float) -> Found:
    """Stream addresses in the form of `socket.getaddrinfo`. Raises what that raises, and `TimeoutError`."""
    name = host, port
    with _lock:
        found = _under_way.get(name)
        if found is None:
            found = Future()
            # Registered after the start: if the thread cannot start, nobody must wait for it.
            threading.Thread(target=_look_up, args=(name, found), name="look-up", daemon=True).start()
            _under_way[name] = found
    return found.result(timeout=seconds)


def _look_up(name: _Name, found: Future[Found]) -> None:
    try:
        addresses = socket.getaddrinfo(*name, type=socket.SOCK_STREAM)
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        outcome: BaseException | None = error
    else:
        outcome = None
    with _lock:
        del _under_way[name]
    if outcome:
        found.set_exception(outcome)
    else:
        found.set_result(addresses)
