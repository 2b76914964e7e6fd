"""Clients see their own writes although reads go to replicas (decision 27). Not installed if there are no replicas.

Signed-in clients need not do anything: the positions of their writes are stored with the account and read with the
session. Other clients send back `Quartet-Seen`, which is in every answer to a write.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import itsdangerous
from flask import Flask, Response, request

from app.container import Container
from app.http.edge.caching import READS
from app.http.edge.cors import Fields, with_vary
from app.http.edge.deps import CONTAINER, container, session_or_none
from repositories import read_your_writes
from repositories.errors import Unavailable
from repositories.read_your_writes import KEPT_SECONDS, Positions
from repositories.records.people import Session

log = logging.getLogger(__name__)
HEADER = "Quartet-Seen"
SENT = "HTTP_QUARTET_SEEN"
POSITION = re.compile("[0-9a-f]{24}")
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def register(app: Flask) -> None:
    """Register after the fast path and `auth`."""
    if cast("Container", app.extensions[CONTAINER]).stores.replicated:
        app.wsgi_app = Apart(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way
        app.before_request(_begin)
        app.after_request(_end)


class Apart:
    """WSGI middleware that keeps requests apart.

    A request does not inherit the positions of the previous one on its thread. Shared caches vary by `Quartet-Seen`, so
    no client gets an answer that was stored for a client who has seen less.
    """

    def __init__(self, inner: Wsgi) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(status: str, fields: Fields, *error: Any) -> Any:
            return start_response(status, with_vary(fields, HEADER), *error)

        with read_your_writes.primary():
            return self._inner(environ, start)


def begin(of: Container, environ: Mapping[str, Any], session: Session | None, *, reads: bool) -> None:
    """Start a request with the positions its client sent and those of its session. `reads`: it changes nothing."""
    sent = environ.get(SENT)
    positions = read(of.settings.secrets, sent) if sent else {}
    read_your_writes.begin(
        read_your_writes.merged(positions, dict(session.seen)) if session else positions, reads=reads
    )


def issued(secret: str, positions: Positions) -> str:
    return str(serializer(secret).dumps(dict(positions)))


def read(secrets: Sequence[str], token: str) -> Positions:
    """The positions of a `Quartet-Seen`. Empty if it was not signed with `secrets` or is older than `KEPT_SECONDS`.

    A signature from the future is accepted, because another server's clock may be slightly ahead. itsdangerous would
    refuse it with `max_age`, so the age is compared here.
    """
    for secret in secrets:
        try:
            found, signed_at = serializer(secret).loads(token, return_timestamp=True)
        except itsdangerous.BadData:
            continue
        if isinstance(found, dict) and time.time() - signed_at.timestamp() <= KEPT_SECONDS:
            return {store: at for store, at in found.items() if isinstance(at, str) and POSITION.fullmatch(at)}
    return {}


def serializer(secret: str) -> itsdangerous.URLSafeTimedSerializer:
    return itsdangerous.URLSafeTimedSerializer(
        secret, salt="seen", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
    )


def mark(response: Response) -> None:
    """Set `Quartet-Seen` to the positions of what the request has written so far."""
    mine = read_your_writes.current()
    if mine is not None and mine.wrote:
        response.headers[HEADER] = issued(container().settings.secret_key, mine.positions)


def resume(answered: str) -> None:
    """Note the positions of a replayed answer (`answered` is its `Quartet-Seen`).

    The process that made the write may have died before it stored them.
    """
    mine = read_your_writes.writing()
    if mine is not None:
        for store, position in read(container().settings.secrets, answered).items():
            mine.note(store, position)


def _begin() -> None:
    begin(container(), request.environ, session_or_none(), reads=request.method in READS)


def _end(response: Response) -> Response:
    """Store the positions of the request's writes before it is answered, and set `Quartet-Seen`."""
    mine = read_your_writes.current()
    if mine is None or not mine.wrote:
        return response
    mark(response)
    session = session_or_none()
    if session is not None:
        try:
            container().stores.sessions.note_seen(session.account_id, mine.positions)
        except Unavailable as error:
            log.warning("%s may not see at once what they wrote: %s", session.account_id, error)
    return response
