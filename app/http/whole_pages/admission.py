"""The checks of the fast path before it looks for a page: session, own writes and rate limit.

They have the order of Flask's request hooks. What they find is passed on to the hooks in the WSGI environ, so that
nothing is done twice.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from app.container import Container
from app.http.edge import limiting, own_writes, tracing
from app.http.edge.auth import early_session

T = TypeVar("T")
Environ = dict[str, Any]
# Key in the WSGI environ: an exception that was raised in the fast path.
FAILED = "quartet.failed"


class Admitted(NamedTuple):
    """A request that passed the checks. `viewer` is None for an anonymous one; `limited` are the `RateLimit` fields."""

    begun: tracing.RequestStart
    viewer: UUID | None
    limited: list[tuple[str, str]]


def admitted(container: Container, environ: Environ) -> Admitted | None:
    """Check a request. None if it must be refused (invalid token, too many requests), which is left to Flask."""
    environ[tracing.BEGUN] = begun = tracing.RequestStart(environ.get("HTTP_X_REQUEST_ID", ""))
    viewer = None
    if "HTTP_AUTHORIZATION" in environ:
        tracing.name(begun.id)
        session = early_session(container, environ)
        if session is None:
            return None
        viewer = session.account_id
        if container.stores.replicated:
            own_writes.begin(container, environ, session, reads=True)
    limited = _counted(container, environ, viewer)
    return None if limited is None else Admitted(begun, viewer, limited)


def attempted(environ: Environ, ask: Callable[[], T]) -> T | None:
    """The result of `ask`, or None if it raises. `failed` raises the exception later, inside Flask."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  nothing answers it here
        environ[FAILED] = error
        return None


def failed(environ: Mapping[str, Any]) -> None:
    """Raise the exception that `attempted` has kept, if any."""
    if FAILED in environ:
        raise environ[FAILED]


def has_body(environ: Mapping[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "") not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in environ


def _counted(container: Container, environ: Environ, viewer: UUID | None) -> list[tuple[str, str]] | None:
    """Count the request and return the `RateLimit` fields; None if it exceeds the limit."""
    throttle = container.people.throttle
    asking = throttle.asking
    if asking is None:
        return []
    who = f"account:{viewer}" if viewer else f"address:{limiting.of_caller(environ, container)}"
    found = throttle.request(who)
    environ[limiting.COUNTED] = found
    return limiting.fields(found, asking) if found is None or found.allowed else None
