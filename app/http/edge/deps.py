"""What views need of the application and the request: the container, the cursors and the caller's session."""

from typing import cast
from uuid import UUID

from flask import current_app, g

from app.container import Container
from app.errors import Unauthenticated
from app.http.edge.paging import Cursors
from repositories.records.people import Session

CONTAINER = "quartet"
CURSORS = "quartet-cursors"


def container() -> Container:
    return cast("Container", current_app.extensions[CONTAINER])


def cursors() -> Cursors:
    return cast("Cursors", current_app.extensions[CURSORS])


def sign(session: Session | None) -> None:
    """Set the request's session, None if nobody is signed in. Called only by `auth`."""
    g.session = session


def session_or_none() -> Session | None:
    return cast("Session | None", g.get("session"))


def session() -> Session:
    """The caller's session. Raises `Unauthenticated`."""
    found = session_or_none()
    if found is None:
        raise Unauthenticated("this needs a signed-in account")
    return found


def caller() -> UUID:
    return session().account_id


def viewer() -> UUID | None:
    """The account id of the caller of a public route; None if nobody is signed in."""
    found = session_or_none()
    return found.account_id if found else None


def request_id() -> str:
    return cast("str", g.get("request_id", ""))


def start(request_id: str) -> None:
    """Set the request id. Called only by `tracing`."""
    g.request_id = request_id
