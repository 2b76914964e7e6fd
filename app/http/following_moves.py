"""The WSGI application of a process whose roles may move to other engines while it serves.

A request that was refused because of a move is run again at the new place. So is a request that was refused because the
old place lacks something, such as a post published at the new place a moment before. This is safe because nothing was
done for such a request: any request that had an effect is answered with 2xx, or with 402 from a payment provider.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from app.container import Container
from app.http.edge.errors import REFUSED

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
READS = frozenset({"GET", "HEAD", "OPTIONS"})
# Statuses that an old place may give wrongly; 401 is for an account that was registered, or whose password was changed,
# at the new place. The others (400, 405, 413, 415, 428, 429) do not depend on data that moves.
LACKING = ("401", "403", "404", "409", "410", "412", "422")
# How long such a request waits until this process uses the new place. Then it gets its first answer (503 or `LACKING`).
WAIT_SECONDS = 1.0


class Current:
    """WSGI application over the current container. `make` creates a Flask application from a container.

    The follower of moves sets two functions: `is_moving` tells whether a move is known to be under way, `has_moved`
    whether the container in use still has the old place of a role that has moved.
    """

    def __init__(self, container: Container, make: Callable[[Container], Flask]) -> None:
        self.is_moving: Callable[[], bool] = lambda: False
        self.has_moved: Callable[[], bool] = lambda: False
        self._make = make
        self._changed = threading.Condition()
        self.app = make(container)
        self._inner: Wsgi = self.app.wsgi_app
        self._ready: tuple[Container, Flask] | None = None

    def prepare(self, container: Container) -> None:
        """Create the application over `container` in advance, for a later `use`."""
        self._ready = container, self._make(container)

    def use(self, container: Container) -> None:
        """Serve from `container`, from the next request on."""
        ready, self._ready = self._ready, None
        made = ready[1] if ready and ready[0] is container else self._make(container)
        with self._changed:
            self.app, self._inner = made, made.wsgi_app
            self._changed.notify_all()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        inner = self._inner
        if environ["REQUEST_METHOD"] in READS and not self.is_moving():
            return inner(environ, start_response)
        came, started = dict(environ), list[tuple[Any, ...]]()
        # Nothing is sent before the whole answer is made: Flask calls `start_response` only then.
        body = inner(environ, lambda *status: started.append(status))
        if self._is_of_old_place(inner, environ, started) and _rewound(came) and self._has_changed(inner):
            close = getattr(body, "close", None)
            if close:
                close()
            return self._inner(came, start_response)
        start_response(*started[-1])
        return body

    def _is_of_old_place(self, inner: Wsgi, environ: Environ, started: list[tuple[Any, ...]]) -> bool:
        """Whether this answer of `inner` may be wrong because of a move: a store refused the write, or the status is
        one of `LACKING` and the role has moved in the meantime.
        """
        if REFUSED in environ:
            return True
        return started[-1][0].startswith(LACKING) and (self._inner is not inner or self.has_moved())

    def _has_changed(self, inner: Wsgi) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._inner is not inner, WAIT_SECONDS)


def _rewound(came: Environ) -> bool:
    """Rewind the body, and return whether it can be read again: it was received whole (`app.server.bodies`), or there
    is none.
    """
    sent = came["wsgi.input"]
    if hasattr(sent, "seek"):
        sent.seek(0)
        return True
    return came.get("CONTENT_LENGTH") in {None, "", "0"} and "HTTP_TRANSFER_ENCODING" not in came
