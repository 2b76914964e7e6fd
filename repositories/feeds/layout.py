"""How timelines are divided into partitions: by time, into buckets of a fixed width in days.

A partition stays below `PARTITION_BYTES` while a timeline gets at most `peak_per_day` entries a day.
"""

from uuid import UUID

from msgspec import Struct

DAY_MS = 24 * 60 * 60 * 1000
PARTITION_BYTES = 100_000_000

# Bytes of an entry in its partition, uncompressed; tests/engines/test_feeds_layout.py measures them on a node.
AUTHOR_BYTES = 40
HOME_BYTES = 70
NOTIFICATION_BYTES = 400


class TimelineKind(Struct, frozen=True):
    """One kind of timeline: `name` begins the names of its statements, `width_ms` is the width of its buckets."""

    name: str
    width_ms: int

    def bucket(self, post_id: UUID) -> int:
        return (post_id.int >> 80) // self.width_ms

    def end_ms(self, bucket: int) -> int:
        return (bucket + 1) * self.width_ms


class Layout(Struct, frozen=True):
    """Widths in days; notifications use the home width. Raises `ValueError` if partitions can get too large."""

    author_days: int = 90
    home_days: int = 10
    peak_per_day: int = 20_000

    def __post_init__(self) -> None:
        _check("QUARTET_FEEDS_AUTHOR_BUCKET_DAYS", self.author_days, self.peak_per_day, AUTHOR_BYTES)
        _check("QUARTET_FEEDS_HOME_BUCKET_DAYS", self.home_days, self.peak_per_day, max(HOME_BYTES, NOTIFICATION_BYTES))

    @property
    def author(self) -> TimelineKind:
        return TimelineKind("author", self.author_days * DAY_MS)

    @property
    def home(self) -> TimelineKind:
        return TimelineKind("home", self.home_days * DAY_MS)

    @property
    def notifications(self) -> TimelineKind:
        return TimelineKind("notification", self.home_days * DAY_MS)

    def widths(self) -> dict[str, int]:
        """Days by kind of timeline. They must not change once buckets are filled."""
        return {"author": self.author_days, "home": self.home_days}


def _check(setting: str, days: int, peak: int, entry_bytes: int) -> None:
    if days < 1 or peak < 1:
        raise ValueError(f"{setting} and QUARTET_FEEDS_PEAK_PER_DAY must be 1 or more")
    size = days * peak * entry_bytes
    if size >= PARTITION_BYTES:
        raise ValueError(
            f"{setting}={days} and QUARTET_FEEDS_PEAK_PER_DAY={peak} allow partitions of {size / 1e6:.0f} MB; "
            f"they must stay below {PARTITION_BYTES / 1e6:.0f} MB, so lower one of them"
        )
