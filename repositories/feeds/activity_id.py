"""The id of an activity, computed from its time and its content."""

import hashlib
from datetime import datetime
from uuid import UUID

from repositories.errors import Invalid
from repositories.feeds.id_time import micros
from repositories.records.feeds import Activity

# Bounds the size of pages and of partitions, see `layout.NOTIFICATION_BYTES`.
DETAIL_BYTES = 256
_RANDOM = (1 << 74) - 1


def activity_id(activity: Activity) -> UUID:
    """A UUIDv7 of the activity's millisecond. Raises `Invalid` for a time, number or detail out of range."""
    milliseconds = micros(activity.at) // 1000
    if not 0 <= milliseconds < 1 << 48 or not 0 <= activity.number < 1 << 31:
        raise Invalid(f"an activity at {activity.at} with number {activity.number}")
    if not _fits(activity.detail):
        raise Invalid("the detail of an activity is too long, or is not text")
    free = _digest(activity, b"") & _RANDOM
    return UUID(int=milliseconds << 80 | 7 << 76 | (free >> 62) << 64 | 2 << 62 | free & (1 << 62) - 1)


def moment_id(at: datetime) -> UUID:
    """The highest UUIDv7 of a microsecond: 48 bits of milliseconds, then 12 bits of microseconds."""
    milliseconds, rest = divmod(micros(at), 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | rest << 64 | 2 << 62 | (1 << 62) - 1)


def repeat_key(owner: UUID, activity: Activity) -> UUID:
    """Equal for the same activity at another time, as when an actor likes and unlikes repeatedly."""
    return UUID(int=_digest(activity, owner.bytes) >> 128)


def _fits(detail: str) -> bool:
    try:
        return len(detail.encode()) <= DETAIL_BYTES and "\0" not in detail
    except UnicodeEncodeError:
        return False


def _digest(activity: Activity, salt: bytes) -> int:
    content = b"".join(
        (activity.kind.encode(), activity.subject.bytes, activity.actor.bytes, activity.number.to_bytes(4), salt)
    )
    return int.from_bytes(hashlib.sha256(content).digest())
