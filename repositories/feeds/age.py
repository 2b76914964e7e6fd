"""The time in an id. A UUIDv7 begins with its milliseconds: buckets, bounds and the retention go by them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from repositories.errors import Invalid
from repositories.feeds.layout import TimelineKind

Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOWEST = UUID(int=0)
HIGHEST = UUID(int=(1 << 128) - 1)


def now() -> datetime:
    return datetime.now(UTC)


def micros(at: datetime) -> int:
    """The timestamp of a write, from the time of its event."""
    return (at - EPOCH) // timedelta(microseconds=1)


def millis(post_id: UUID) -> int:
    """The time in an id. Other UUIDs are refused: stores order them differently."""
    if post_id.version != 7:
        raise Invalid(f"{post_id} is not a UUIDv7")
    return post_id.int >> 80


def below(milliseconds: int) -> UUID:
    """Lower than every id of this millisecond, higher than every id before it."""
    return UUID(int=max(milliseconds, 0) << 80 | 7 << 76)


def span(before: UUID | None, after: UUID | None) -> tuple[UUID, UUID]:
    """The exclusive bounds of a page."""
    for bound in (before, after):
        if bound is not None:
            millis(bound)
    return after or LOWEST, before or HIGHEST


class Retention:
    """How long home timelines keep an entry, counted from the time in its post's id."""

    def __init__(self, length: timedelta, clock: Clock) -> None:
        self._length = length // timedelta(milliseconds=1)
        self._clock = clock

    def horizon(self) -> UUID:
        """Below every entry that is kept, above every entry that is not."""
        return below(self._now() - self._length)

    def keeps(self, post_id: UUID) -> bool:
        return millis(post_id) >= self._now() - self._length

    def buckets(self, kind: TimelineKind) -> range:
        """Those that can hold what is kept, and one more for clocks that run ahead."""
        present = self._now() // kind.width_ms
        return range(max(0, self._now() - self._length) // kind.width_ms, present + 2)

    def seconds_left(self, milliseconds: int) -> int:
        """Until what has this time is past the retention; rounded up, since readers draw the exact line."""
        return max(1, (milliseconds + self._length - self._now()) // 1000 + 2)

    def _now(self) -> int:
        return micros(self._clock()) // 1000
