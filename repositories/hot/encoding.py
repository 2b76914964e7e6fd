"""The storage format of hot data, shared by the adapters so that they cannot diverge."""

import random
import secrets
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from repositories.errors import Invalid
from repositories.hot.port import Fill, Value
from repositories.records.people import Session

# After this time another caller may take over from a loader that crashed. A slow loader may still fill within its
# generation, which lasts longer than any load.
LEASE_SECONDS = 1.0
GENERATION_SECONDS = 30
LARGEST = 1 << 20
# A session is kept this much longer than its lifetime, for application clocks that lag behind the store's.
SLACK = timedelta(hours=1)
_JITTER = 0.1

_sessions = msgspec.json.Decoder(Session)
_values = msgspec.msgpack.Decoder(Value)


def session_bytes(session: Session) -> bytes:
    """Raises `Invalid` for text that is not Unicode."""
    try:
        return msgspec.json.encode(session)
    except UnicodeEncodeError as error:
        raise Invalid(str(error)) from error


def live_session(raw: bytes | None, now: datetime, seen: Iterable[tuple[str, str]] = ()) -> Session | None:
    """The session with its positions `seen`; None if it has expired or cannot be decoded."""
    if raw is None:
        return None
    try:
        session = _sessions.decode(raw)
    except msgspec.MsgspecError:
        return None
    if session.expires_at <= now:
        return None
    return replace(session, seen=tuple(seen))


def live_sessions(raws: list[bytes], now: datetime) -> list[Session]:
    """The live sessions, newest first by id."""
    found = [session for session in (live_session(raw, now) for raw in raws) if session is not None]
    return sorted(found, key=lambda session: session.id, reverse=True)


def session_seconds(session: Session) -> float:
    """How long a store keeps it: a duration, not a point in time, since the application's clock is not the store's."""
    lifetime = max(session.expires_at - session.created_at, timedelta())
    return (lifetime + SLACK).total_seconds()


def text_bytes(text: str) -> bytes:
    """Raises `Invalid` for text that is not Unicode."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Invalid(str(error)) from error


def value_bytes(value: Value) -> bytes:
    """Raises `Invalid` for an entity tag that is not Unicode."""
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError as error:
        raise Invalid(str(error)) from error


def value_of(raw: bytes | memoryview) -> Value | None:
    """The decoded value; None if it cannot be decoded."""
    try:
        return _values.decode(raw)
    except msgspec.MsgspecError:
        return None


def new_token() -> bytes:
    return secrets.token_bytes(8)


def fresh_of(fill: Fill) -> float:
    """Seconds from now until it is due: below zero if a fill with `since` comes too late."""
    return spread(fill.fresh) if fill.since is None else fill.fresh + fill.since - time.monotonic()


def spread(seconds: float) -> float:
    """A duration with jitter, so that values cached together are not due together."""
    return max(seconds * random.uniform(1 - _JITTER, 1 + _JITTER), 0.001)  # noqa: S311  no secret
