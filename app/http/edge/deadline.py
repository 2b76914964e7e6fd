"""One deadline per request, shared by all its calls to the stores."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from repositories.deadline import within

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def register(app: Flask, seconds: float) -> None:
    app.wsgi_app = Deadline(app.wsgi_app, seconds)  # type: ignore[method-assign]  # Flask's documented way


class Deadline:
    """WSGI middleware. A body that is produced while it is sent has no deadline, only the timeout of each call."""

    def __init__(self, inner: Wsgi, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with within(self._seconds):
            return self._inner(environ, start_response)
