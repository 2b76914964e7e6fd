"""The records that a move copies of the session store. They are the same for every engine."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from repositories.dump_port import RecordKind
from repositories.hot.encoding import SLACK
from repositories.moving.places import Key
from repositories.records.people import Session

# Sessions that expire sooner are copied but not compared. Nor are positions (`seen`), which are kept for an hour.
LASTING = timedelta(hours=1)


class KeptSession(Struct, frozen=True, array_like=True):
    """`digest` is in hexadecimal digits; `record` is the stored JSON."""

    digest: str
    account_id: UUID
    id: UUID
    record: str


class KeptSeen(Struct, frozen=True, array_like=True):
    account_id: UUID
    store: str
    position: str


KINDS = [
    RecordKind(name, tuple(one.name for one in fields(record)), record)
    for name, record in (("sessions", KeptSession), ("seen", KeptSeen))
]


def key_of(kind: str, record: Any) -> Key:
    return (record.digest,) if kind == "sessions" else (str(record.account_id), record.store)


def kept(digest: str, record: bytes | str) -> KeptSession | None:
    """The record of a session; None if it cannot be decoded, since such a session signs nobody in."""
    try:
        session = msgspec.json.decode(record, type=Session)
    except msgspec.MsgspecError:
        return None
    text = record if isinstance(record, str) else record.decode()
    return KeptSession(digest, session.account_id, session.id, text)


def seconds_left(record: KeptSession, now: datetime) -> float:
    """How long the new place keeps the session: until it expires, plus `SLACK` as in `add`."""
    return max((_ends(record) - now + SLACK).total_seconds(), 1.0)


def compared(kind: str, record: Any, now: datetime) -> Any:
    """The record to compare; None for one that may be gone from one place before the other."""
    return record if kind == "sessions" and _ends(record) - now > LASTING else None


def _ends(record: KeptSession) -> datetime:
    return msgspec.json.decode(record.record, type=Session).expires_at
