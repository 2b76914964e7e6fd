"""How long entries are kept, and which buckets and bounds follow from that."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from repositories.feeds.id_time import below, micros, millis
from repositories.feeds.layout import TimelineKind

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


class Retention:
    """How long home timelines and notifications keep an entry, counted from the time in its id."""

    def __init__(self, length: timedelta, clock: Clock) -> None:
        self._length = length // timedelta(milliseconds=1)
        self.days = -(-length // timedelta(days=1))
        self._clock = clock

    def horizon(self) -> UUID:
        """The bound between ids that are kept (above) and expired ones (below)."""
        return below(self.oldest())

    def oldest(self) -> int:
        """The oldest millisecond that is kept."""
        return self._now() - self._length

    def keeps(self, post_id: UUID, *, longer_ms: int = 0) -> bool:
        return millis(post_id) >= self.oldest() + longer_ms

    def buckets(self, kind: TimelineKind) -> range:
        """The buckets within the retention, and the next one, for clocks that run ahead."""
        present = self._now() // kind.width_ms
        return range(max(0, self._now() - self._length) // kind.width_ms, present + 2)

    def seconds_left(self, milliseconds: int) -> int:
        """Seconds until an entry of this time expires: a TTL, rounded up. Reads filter by `horizon` exactly."""
        return seconds_until(milliseconds - self.oldest())

    def _now(self) -> int:
        return micros(self._clock()) // 1000


def seconds_until(left: int) -> int:
    """The TTL in seconds of an entry that expires in `left` milliseconds."""
    return max(1, left // 1000 + 2)
