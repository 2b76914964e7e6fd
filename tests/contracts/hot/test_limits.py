"""The contract of `Limits`, for every adapter."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from repositories.errors import Invalid
from repositories.hot import Limits, Rate, open_limits
from tests.contracts.relational_store import new_database
from tests.engines.kernel import wait_until

TIMEOUT = timedelta(seconds=5)
ENGINES = ("redis", "cluster", "postgres")
# So slow that no token is refilled within a test.
SLOW = Rate(0.001, 5)


@pytest.fixture(
    scope="module",
    params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ENGINES)],
)
def limits(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limits]:
    if request.param == "postgres":
        url = new_database(request.getfixturevalue("engines").postgres())
    elif request.param == "redis":
        url = str(request.getfixturevalue("engines").cache().url)
    elif request.param == "cluster":
        url = str(request.getfixturevalue("redis_cluster"))
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('limits') / 'hot.db'}"
    store = open_limits(url, timeout=TIMEOUT, pool=8)
    store.migrate()
    yield store
    store.close()


def new_key() -> str:
    return uuid4().hex


def test_a_burst_is_allowed_and_no_more(limits: Limits) -> None:
    key = new_key()
    found = [limits.take(key, SLOW) for _ in range(7)]
    assert [v.allowed for v in found] == [True] * 5 + [False] * 2
    assert [v.remaining for v in found] == [4, 3, 2, 1, 0, 0, 0]
    assert [v.retry for v in found[:5]] == [0.0] * 5
    assert all(990 < v.retry <= 1000 for v in found[5:])
    assert 990 < found[0].reset <= 1000
    assert 4990 < found[6].reset <= 5000


def test_asking_without_spending_is_not_counted(limits: Limits) -> None:
    key = new_key()
    assert [limits.take(key, SLOW, spend=False).remaining for _ in range(9)] == [5] * 9
    for _ in range(5):
        limits.take(key, SLOW)
    asked = limits.take(key, SLOW, spend=False)
    assert not asked.allowed
    assert asked.retry > 990


def test_keys_have_buckets_of_their_own(limits: Limits) -> None:
    keys = [new_key() for _ in range(20)]
    assert all(limits.take(key, Rate(0.001, 1)).allowed for key in keys)
    assert not any(limits.take(key, Rate(0.001, 1)).allowed for key in keys)


def test_a_bucket_fills_again(limits: Limits) -> None:
    key, rate = new_key(), Rate(20, 1)
    assert limits.take(key, rate).allowed
    assert wait_until(lambda: limits.take(key, rate).allowed, 5)


def test_many_at_once_get_one_burst(limits: Limits) -> None:
    key = new_key()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: limits.take(key, SLOW).allowed, range(40)))
    assert sum(found) == SLOW.burst


def test_keys_are_any_unicode(limits: Limits) -> None:
    assert limits.take(f"{new_key()} ä \x00 \N{GRINNING FACE}", SLOW).allowed
    with pytest.raises(Invalid):
        limits.take("\ud800", SLOW)
