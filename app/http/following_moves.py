"""The application of a process whose roles may move: requests that a move has refused are answered at the new place.

So are those that were refused for what the old place lacks, such as a post that was published at the new one a moment
before. Nothing was done for them: who has done something answers 2xx, or 402 for what a payment provider has said.
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
# How the status begins of what an old place may be wrong about: also 401, for somebody who has registered or changed
# their password at the new one. All else (400, 405, 413, 415, 428, 429) is said without a truth that moves.
LACKING = ("401", "403", "404", "409", "410", "412", "422")
# How long such a request waits for the new place. Then it gets its 503.
WAIT_SECONDS = 1.0


class Current:
    """WSGI application. `make` makes one of a container. Whoever follows the moves sets `is_moving`, which says whether
    a move is known, and `has_moved`, whether the container that is used is of before it.
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
        """It may be used soon."""
        self._ready = container, self._make(container)

    def use(self, container: Container) -> None:
        """From the next request on."""
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
        # Nothing is sent before the whole answer is there: Flask starts an answer when it has it.
        body = inner(environ, lambda *status: started.append(status))
        if self._is_of_old_place(inner, environ, started) and _rewound(came) and self._has_changed(inner):
            close = getattr(body, "close", None)
            if close:
                close()
            return self._inner(came, start_response)
        start_response(*started[-1])
        return body

    def _is_of_old_place(self, inner: Wsgi, environ: Environ, started: list[tuple[Any, ...]]) -> bool:
        """`inner` gave this answer. Where it is not used any more, the role has moved meanwhile."""
        if REFUSED in environ:
            return True
        return started[-1][0].startswith(LACKING) and (self._inner is not inner or self.has_moved())

    def _has_changed(self, inner: Wsgi) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._inner is not inner, WAIT_SECONDS)


def _rewound(came: Environ) -> bool:
    """Whether the body can be read again: it was received whole, see `app.server.bodies`, or there is none."""
    sent = came["wsgi.input"]
    if hasattr(sent, "seek"):
        sent.seek(0)
        return True
    return came.get("CONTENT_LENGTH") in {None, "", "0"} and "HTTP_TRANSFER_ENCODING" not in came
