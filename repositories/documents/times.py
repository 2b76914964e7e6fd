"""Times as all adapters store them: whole microseconds since 1970, because BSON dates only have milliseconds."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def moment(since_epoch: int) -> datetime:
    return EPOCH + since_epoch * MICROSECOND
