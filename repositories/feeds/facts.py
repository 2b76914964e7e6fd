"""A fact's own id, made of its time and its content, so that nobody has to look it up."""

import hashlib
from uuid import UUID

from repositories.errors import Invalid
from repositories.feed_records import Fact
from repositories.feeds.age import micros

# What a page of notifications has room for; it also bounds the partition, see `layout`.
DETAIL_BYTES = 256
_RANDOM = (1 << 74) - 1


def fact_id(fact: Fact) -> UUID:
    """A UUIDv7 of the fact's millisecond. `Invalid` for what no store holds."""
    milliseconds = micros(fact.at) // 1000
    if not 0 <= milliseconds < 1 << 48 or not 0 <= fact.number < 1 << 31:
        raise Invalid(f"a fact at {fact.at} with number {fact.number}")
    if not _fits(fact.detail):
        raise Invalid("the detail of a fact is too long, or is not text")
    free = _digest(fact, b"") & _RANDOM
    return UUID(int=milliseconds << 80 | 7 << 76 | (free >> 62) << 64 | 2 << 62 | free & (1 << 62) - 1)


def deed(owner: UUID, fact: Fact) -> UUID:
    """What the same actor may do again and again: the fact without its time."""
    return UUID(int=_digest(fact, owner.bytes) >> 128)


def _fits(detail: str) -> bool:
    try:
        return len(detail.encode()) <= DETAIL_BYTES and "\0" not in detail
    except UnicodeEncodeError:
        return False


def _digest(fact: Fact, salt: bytes) -> int:
    content = b"".join((fact.kind.encode(), fact.subject.bytes, fact.actor.bytes, fact.number.to_bytes(4), salt))
    return int.from_bytes(hashlib.sha256(content).digest())
