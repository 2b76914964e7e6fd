"""Encodes cursors of the home feed, and the post ids in an upward cursor.

An id takes nine bytes: three for the milliseconds since the cursor's position, six for bytes 6 to 11 of the id.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from app.http.edge.paging import Cursors, Position
from app.services.feeds.page_windows import Window
from app.services.feeds.upward_cursor import FeedCursor

SIZE, TIME, FRONT = 9, 3, 12
FURTHEST = 1 << 8 * TIME


def scope_of(reader: UUID) -> str:
    return f"feed:{reader}"


def start_of(cursors: Cursors, reader: UUID, after: str | None) -> FeedCursor | None:
    """The cursor from which a page upward starts. Raises `BadRequest` with code `bad_cursor`."""
    if after is None:
        return None
    position, *ids = cursors.read(scope_of(reader), after)
    return FeedCursor(UUID(position), unpacked(UUID(position), ids[0]) if ids else ())


def window_of(limit: int, before: UUID | None, start: FeedCursor | None) -> Window:
    return Window(limit, before, start.after if start else None, frozenset(start.seen if start else ()))


def begun_at(window: Window) -> FeedCursor | None:
    """The cursor from which an upward window was made; None for other windows."""
    return FeedCursor(window.after, tuple(window.hidden)) if window.after else None


def position_of(cursor: FeedCursor | None) -> Position | None:
    if cursor is None:
        return None
    return [str(cursor.after), packed(cursor)] if cursor.seen else [str(cursor.after)]


def packed(cursor: FeedCursor) -> str:
    """The seen ids as base64.

    Ids `FURTHEST` milliseconds (4.7 hours) or more above the position do not fit and are left out. No server's clock is
    that far ahead.
    """
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
