"""The time in a UUIDv7, whose first 48 bits are milliseconds since 1970. Buckets and bounds are computed from it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from repositories.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOWEST = UUID(int=0)
HIGHEST = UUID(int=(1 << 128) - 1)


def micros(at: datetime) -> int:
    """Microseconds since 1970: the timestamp of a write."""
    return (at - EPOCH) // timedelta(microseconds=1)


def millis(post_id: UUID) -> int:
    """Milliseconds since 1970. Raises `Invalid` for UUIDs of other versions, which stores would order differently."""
    number = post_id.int
    # Tests version and variant on the bits: `UUID.version` takes six times as long, and this runs for each entry.
    if number >> 76 & 15 != 7 or number >> 62 & 3 != 2:
        raise Invalid(f"{post_id} is not a UUIDv7")
    return number >> 80


def below(milliseconds: int) -> UUID:
    """The bound below every id of this millisecond and above every earlier id."""
    return UUID(int=max(milliseconds, 0) << 80 | 7 << 76)


def just_below(post_id: UUID | None) -> UUID:
    """The exclusive bound that includes this id; the lowest bound for None."""
    return UUID(int=max(post_id.int - 1, 0)) if post_id else LOWEST


def span(before: UUID | None, after: UUID | None) -> tuple[UUID, UUID]:
    """The exclusive lower and upper bound of a page. Raises `Invalid`."""
    for bound in (before, after):
        if bound is not None:
            millis(bound)
    return after or LOWEST, before or HIGHEST
