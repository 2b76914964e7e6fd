"""The time in a UUIDv7, whose first 48 bits are milliseconds since 1970: buckets, bounds and the retention use it."""

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
    """Microseconds since 1970: the timestamp of a write."""
    return (at - EPOCH) // timedelta(microseconds=1)


def millis(post_id: UUID) -> int:
    """Milliseconds since 1970. `Invalid` for other UUIDs than version 7, which stores order differently."""
    if post_id.version != 7:
        raise Invalid(f"{post_id} is not a UUIDv7")
    return post_id.int >> 80


def below(milliseconds: int) -> UUID:
    """The bound below every id of this millisecond and above every earlier id."""
    return UUID(int=max(milliseconds, 0) << 80 | 7 << 76)


def span(before: UUID | None, after: UUID | None) -> tuple[UUID, UUID]:
    """The exclusive lower and upper bound of a page. Raises `Invalid`."""
    for bound in (before, after):
        if bound is not None:
            millis(bound)
    return after or LOWEST, before or HIGHEST


class Retention:
    """How long home timelines and notifications keep an entry, counted from the time in its id."""

    def __init__(self, length: timedelta, clock: Clock) -> None:
        self._length = length // timedelta(milliseconds=1)
        self._clock = clock

    def horizon(self) -> UUID:
        """The bound between ids that are kept (above) and expired ones (below)."""
        return below(self._now() - self._length)

    def keeps(self, post_id: UUID) -> bool:
        return millis(post_id) >= self._now() - self._length

    def buckets(self, kind: TimelineKind) -> range:
        """The buckets within the retention, and the next one, for clocks that run ahead."""
        present = self._now() // kind.width_ms
        return range(max(0, self._now() - self._length) // kind.width_ms, present + 2)

    def seconds_left(self, milliseconds: int) -> int:
        """Seconds until an entry of this time expires: a TTL, rounded up. Reads filter by `horizon` exactly."""
        return max(1, (milliseconds + self._length - self._now()) // 1000 + 2)

    def _now(self) -> int:
        return micros(self._clock()) // 1000
