"""The ids that an upward cursor carries, nine bytes each: milliseconds after its position, and the middle of the id."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from app.services.feeds.upward_cursor import FeedCursor

SIZE, TIME, FRONT = 9, 3, 12
FURTHEST = 1 << 8 * TIME


def packed(cursor: FeedCursor) -> str:
    """Ids hours above the position do not fit and are left out. No server's clock is that far ahead."""
    offsets = ((_millis(seen) - _millis(cursor.after), seen) for seen in cursor.seen)
    return urlsafe_b64encode(
        b"".join(ms.to_bytes(TIME) + seen.bytes[6:FRONT] for ms, seen in offsets if ms < FURTHEST)
    ).decode()


def unpacked(after: UUID, text: str) -> tuple[UUID, ...]:
    raw = urlsafe_b64decode(text)
    return tuple(_id(after, raw[at : at + SIZE]) for at in range(0, len(raw), SIZE))


def _id(after: UUID, front: bytes) -> UUID:
    millis = _millis(after) + int.from_bytes(front[:TIME])
    return UUID(bytes=millis.to_bytes(6) + front[TIME:] + bytes(16 - FRONT))


def _millis(post_id: UUID) -> int:
    return post_id.int >> 80
