"""The contract of `Notifications`: read markers."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from repositories.feeds.id_time import below
from repositories.feeds.notifications_port import Notifications
from tests.contracts.feeds.activities import CHANCE, T0
from tests.contracts.feeds.feed_stores import OpenFeeds


def marks(count: int) -> list[UUID]:
    """Read markers, three per millisecond."""
    start = int(T0.timestamp() * 1000)
    return [UUID(int=below(start + n // 3).int | 2 << 62 | CHANCE.getrandbits(62)) for n in range(count)]


def test_the_marker_never_goes_back(notifications: Notifications) -> None:
    owner, neighbour = uuid4(), uuid4()
    some = marks(12)
    for mark, highest in zip(some, itertools.accumulate(some, max), strict=True):
        notifications.mark(owner, mark)
        assert notifications.marker(owner) == highest
    for mark in CHANCE.sample(some, 12):
        notifications.mark(owner, mark)
    assert notifications.marker(owner) == max(some)
    assert notifications.marker(neighbour) is None


def test_the_highest_of_concurrent_markers_wins(open_feeds: OpenFeeds, notifications: Notifications) -> None:
    owner, some = uuid4(), marks(60)
    CHANCE.shuffle(some)
    barrier = threading.Barrier(3)

    def climb(store: Notifications, part: list[UUID]) -> None:
        barrier.wait()
        seen = UUID(int=0)
        for mark in part:
            store.mark(owner, mark)
            present = store.marker(owner)
            assert present is not None
            assert present >= max(seen, mark)
            seen = present

    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                climb, (notifications, notifications, open_feeds().notifications), (some[:20], some[20:40], some[40:])
            )
        )
    assert notifications.marker(owner) == max(some)
