"""UUIDv7: order, layout and monotony."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.ids import Ids, lowest_id, uuid7
from app.services.feeds.upward_cursor import id_prefix

moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001 - made aware
    lambda naive: naive.replace(tzinfo=UTC)
)
tails = st.integers(0, 2**62 - 1)


@given(moments, tails)
def test_an_id_is_a_version_7_uuid_of_its_moment(at: datetime, tail: int) -> None:
    made = uuid7(at, tail)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == int(at.timestamp() * 1000) or abs((made.int >> 80) - at.timestamp() * 1000) < 1


@given(moments, moments, tails, tails)
def test_ids_order_as_their_moments_do(one: datetime, other: datetime, tail: int, other_tail: int) -> None:
    if one < other:
        assert uuid7(one, tail) < uuid7(other, other_tail)
        assert lowest_id(one) <= uuid7(one, tail) < uuid7(other, 0)


def test_ids_rise_although_the_clock_stands_or_steps_back() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    steps = iter([now, now, now - timedelta(hours=1), now - timedelta(hours=2), now + timedelta(microseconds=1)])
    ids = Ids(lambda: next(steps))
    made = [ids() for _ in range(5)]
    assert made == sorted(set(made))
    assert {i.version for i in made} == {7}


def test_ids_of_the_same_time_have_different_prefixes() -> None:
    """An upward feed cursor identifies posts by the front of their ids: with equal fronts one would never be shown."""
    ids = Ids(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    assert len({id_prefix(ids()) for _ in range(2000)}) == 2000


def test_ids_of_concurrent_threads_have_different_prefixes() -> None:
    ids = Ids()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ids(), range(20_000)))
    assert len({id_prefix(one) for one in made}) == len(made)


def test_times_before_the_epoch_have_the_nil_id() -> None:
    assert lowest_id(datetime(1960, 1, 1, tzinfo=UTC)) == UUID(int=0)
