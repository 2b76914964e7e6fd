"""What the fast path asks before it looks for a page, in the order of the request hooks; and what it hands on."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from app.container import Container
from app.http.edge import limiting, own_writes, tracing
from app.http.edge.auth import early_session
from app.services.people.throttle import Throttle

T = TypeVar("T")
Environ = dict[str, Any]
# Key in the WSGI environ: the error that the fast path met on its way.
FAILED = "quartet.failed"


class Admitted(NamedTuple):
    """`viewer` is None for who is not signed in. `limited` are the fields that say how many requests are left."""

    begun: tracing.RequestStart
    viewer: UUID | None
    limited: list[tuple[str, str]]


def admitted(container: Container, environ: Environ) -> Admitted | None:
    """None where the application answers, for a bad token or after too many requests. It finds all that was asked."""
    environ[tracing.BEGUN] = begun = tracing.RequestStart(environ.get("HTTP_X_REQUEST_ID", ""))
    viewer, throttle = None, container.people.throttle
    if "HTTP_AUTHORIZATION" in environ:
        tracing.name(begun.id)
        session = early_session(container, environ)
        if session is None:
            return None
        viewer = session.account_id
        if container.stores.replicated:
            own_writes.begin(container, environ, session, reads=True)
        limited = _counted(throttle, environ, f"account:{viewer}")
    else:
        limited = _counted(throttle, environ, f"address:{limiting.of_caller(environ, container)}")
    return None if limited is None else Admitted(begun, viewer, limited)


def attempted(environ: Environ, ask: Callable[[], T]) -> T | None:
    """What `ask` returns. None for an error, which `failed` raises where the application would meet it."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  nothing answers it here
        environ[FAILED] = error
        return None


def failed(environ: Mapping[str, Any]) -> None:
    """Raises what the fast path met."""
    if FAILED in environ:
        raise environ[FAILED]


def has_body(environ: Mapping[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "") not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in environ


def _counted(throttle: Throttle, environ: Environ, who: str) -> list[tuple[str, str]] | None:
    """The fields that say how much is left; None when it was too much."""
    asking = throttle.asking
    if asking is None:
        return []
    found = throttle.request(who)
    environ[limiting.COUNTED] = found
    return limiting.fields(found, asking) if found is None or found.allowed else None
