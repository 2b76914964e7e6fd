"""UUIDv7: order, layout and monotony."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.ids import Ids, lowest_id, uuid7

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


def test_times_before_the_epoch_have_the_nil_floor() -> None:
    assert lowest_id(datetime(1960, 1, 1, tzinfo=UTC)) == UUID(int=0)
