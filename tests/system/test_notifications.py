"""Pages of notifications, compared with a naive evaluation of all activities, which come and go between the pages.

`QUARTET_NOTIFICATION_HISTORIES` is the number of random histories.
"""

import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from app.container import Container
from app.services.notifications import inbox, scan
from app.services.notifications.inbox import NotificationPage
from app.services.pages import inbox_tops
from app.worker.running import relay_of
from config import Settings
from repositories import meter
from repositories.records.feeds import Activity, Kind
from tests.apps import embedded, running
from tests.engines import Shared
from tests.system import crowd
from tests.system.real import real_urls

pytestmark = pytest.mark.long
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
DAY = timedelta(days=1)
SIZES = range(1, 8)
HISTORIES = int(os.environ.get("QUARTET_NOTIFICATION_HISTORIES", "1"))
Shown = tuple[Kind, UUID, str, str, tuple[UUID, ...]]


class OwnerAndOthers(NamedTuple):
    """An owner of notifications, and others. `activities` are the existing ones by id; those in `gone` stay removed."""

    container: Container
    chance: random.Random
    owner: UUID
    people: list[UUID]
    posts: list[UUID]
    activities: dict[UUID, Activity]
    gone: set[UUID]

    def happens(self, at: datetime) -> None:
        kind: Kind = self.chance.choice(("like", "like", "comment", "follow", "order"))
        subject = self.owner if kind == "follow" else self.chance.choice(self.posts)
        detail = self.chance.choice(("paid", "fulfilled")) if kind == "order" else ""
        number = len(self.activities) if kind in {"comment", "order"} else 0
        self.note(Activity(kind, subject, self.chance.choice(self.people), at, number, detail))

    def note(self, activity: Activity) -> None:
        own = self.container.stores.feeds.notifications.note(self.owner, activity, activity.at)
        self._drop()
        if own not in self.gone:
            self.activities[own] = activity

    def withdraw(self, activity_id: UUID) -> None:
        activity = self.activities.pop(activity_id)
        self.gone.add(activity_id)
        self.container.stores.feeds.notifications.withdraw(self.owner, activity, activity.at + 9 * DAY)
        self._drop()

    def _drop(self) -> None:
        """Drop the inbox like a writer, since this class writes directly to the store."""
        invalidation = self.container.pages.invalidation
        invalidation.drop(invalidation.inboxes([self.owner]))

    def history(self, count: int, days: int = 3) -> None:
        """Make random activities, and some exactly at the beginning and end of each day."""
        for _ in range(count):
            span = timedelta(milliseconds=self.chance.randrange(days * 24 * 3_600_000))
            self.happens(NOON - timedelta(hours=12) + span)
        for day in range(days + 1):
            self.happens(NOON - timedelta(hours=12) + day * DAY)

    def pages(self, size: int, between: Callable[[], None] = lambda: None) -> Iterator[NotificationPage]:
        place = None
        while True:
            page = self.container.notifications.inbox.page(self.owner, size, place)
            yield page
            if page.onward is None:
                return
            place = page.onward
            between()

    def expected(self) -> list[Shown]:
        groups: dict[tuple[str, Kind, UUID, str], list[tuple[datetime, UUID, UUID]]] = {}
        for own, activity in self.activities.items():
            key = (activity.at.date().isoformat(), activity.kind, activity.subject, activity.detail)
            groups.setdefault(key, []).append((activity.at, own, activity.actor))
        newest_first = sorted(groups.items(), key=lambda group: max(group[1]), reverse=True)
        return [
            (kind, subject, detail, day, tuple(dict.fromkeys(actor for *_, actor in sorted(members, reverse=True))))
            for (day, kind, subject, detail), members in newest_first
        ]


def shown(pages: Iterator[NotificationPage]) -> list[Shown]:
    found = [n for page in pages for n in page.items]
    assert all(len(n.actors) == min(3, n.count) and n.count == len(n.item.actors) for n in found)
    return [(n.item.kind, n.item.subject, n.item.detail, n.item.at.date().isoformat(), n.item.actors) for n in found]


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path_factory.mktemp("notifications")))) as system:
        yield system.container


@pytest.fixture(params=range(HISTORIES))
def participants(request: pytest.FixtureRequest, container: Container) -> OwnerAndOthers:
    return settled(container, request.param)


def settled(container: Container, seed: int) -> OwnerAndOthers:
    owner, *people = crowd.people(container, 6)
    crowd.befriend(container, people, [owner])
    posts = [crowd.publish(container, owner) for _ in range(5)]
    return OwnerAndOthers(container, random.Random(seed), owner, people, posts, {}, set())  # noqa: S311 - test data


def test_pages_have_all_items_in_order(participants: OwnerAndOthers) -> None:
    participants.history(participants.chance.choice((0, 5, 60, 300)))
    for size in (*SIZES, 100):
        assert shown(participants.pages(size)) == participants.expected()


def test_new_activities_neither_repeat_nor_hide_an_item(participants: OwnerAndOthers) -> None:
    participants.history(60)
    for size in SIZES:
        before = participants.expected()
        moment = max(activity.at for activity in participants.activities.values())

        def between(since: datetime = moment) -> None:
            for _ in range(participants.chance.randrange(4)):
                participants.happens(since + timedelta(milliseconds=1 + participants.chance.randrange(100_000)))

        assert shown(participants.pages(size, between)) == before
        assert shown(participants.pages(100)) == participants.expected()


def test_withdrawn_and_late_activities_move_no_other_item(participants: OwnerAndOthers) -> None:
    """The withdrawals stay below the store's tombstone budget."""
    participants.history(80)
    for size in SIZES:
        lasting = {item[:4] for item in participants.expected()}

        def between(lasting: set[tuple[Kind, UUID, str, str]] = lasting) -> None:
            for own in participants.chance.sample(sorted(participants.activities), k=participants.chance.randrange(3)):
                participants.withdraw(own)
            participants.happens(NOON + timedelta(seconds=participants.chance.randrange(40_000)))
            lasting &= {item[:4] for item in participants.expected()}

        found = [item[:4] for item in shown(participants.pages(size, between))]
        assert len(found) == len(set(found))
        assert lasting <= set(found)
        participants.history(20)


@pytest.mark.proof
def test_pages_and_unread_items_are_correct_on_cassandra(engines: Shared, tmp_path: Path) -> None:
    urls = embedded(tmp_path) | real_urls(engines, "noticed", ["feeds"])
    with running(Settings(**urls, feeds_timeout=10.0)) as system:
        test_pages_have_all_items_in_order(settled(system.container, 1))
        test_new_activities_neither_repeat_nor_hide_an_item(settled(system.container, 2))
        test_withdrawn_and_late_activities_move_no_other_item(settled(system.container, 3))
        test_items_with_activities_above_the_marker_are_unread(settled(system.container, 4))


@pytest.mark.parametrize("most", [9, 50])
def test_a_scan_that_is_cut_short_continues_with_the_next_page(
    participants: OwnerAndOthers, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Days with more activities than one scan are shown in parts: each item once, with the people of its first part."""
    monkeypatch.setattr(inbox_tops, "ACTIVITIES", 3)
    monkeypatch.setattr(scan, "MOST_ACTIVITIES", most)
    participants.history(150)
    expected = participants.expected()
    for size in (*SIZES, 100):
        found = shown(participants.pages(size))
        assert sorted(item[:4] for item in found) == sorted(item[:4] for item in expected)
        assert {item[:4] for item in found} == {item[:4] for item in expected}


def test_a_day_of_more_items_than_a_cursor_carries(
    participants: OwnerAndOthers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "CARRIED", 8)
    participants.history(120)
    for size in SIZES:
        assert shown(participants.pages(size)) == participants.expected()
        assert all(len(page.onward.shown) <= 8 for page in participants.pages(size) if page.onward)


def test_items_with_activities_above_the_marker_are_unread(participants: OwnerAndOthers) -> None:
    participants.history(100)
    order = sorted(participants.activities, reverse=True)
    assert participants.container.notifications.inbox.unread(participants.owner) == min(
        100, len(participants.expected())
    )
    for marker in (order[40], order[60], order[10], order[0]):
        left = participants.container.notifications.inbox.read(participants.owner, marker)
        newer = participants._replace(
            activities={own: activity for own, activity in participants.activities.items() if own > marker}
        )
        if marker != order[60]:
            assert left == len(newer.expected())
        for size in (1, 100):
            pages = list(participants.pages(size))
            assert {page.unread for page in pages} == {left}
            assert sum(not n.read for page in pages for n in page.items) == left
    assert left == 0


def test_a_repeated_page_does_not_ask_the_feed_store(container: Container) -> None:
    """Only after something is noted, withdrawn or read does a page ask the feed store again."""
    ada, bob = crowd.people(container, 2)
    post, inbox = crowd.publish(container, ada), container.notifications.inbox
    relay = relay_of(container)

    def feeds_asked() -> bool:
        with meter.tally() as calls:
            inbox.page(ada, 20)
        return "feeds" in calls.trips()

    relay.drain()
    assert (feeds_asked(), feeds_asked()) == (True, False)
    for change in (
        lambda: container.content.posts.like(bob, post),
        lambda: inbox.read(ada),
        lambda: container.content.posts.unlike(bob, post),
    ):
        before = inbox.unread(ada), len(inbox.page(ada, 20).items)
        change()
        relay.drain()
        assert (inbox.unread(ada), len(inbox.page(ada, 20).items)) != before
        assert not feeds_asked()


@pytest.mark.parametrize("many", [30, 400])
def test_a_page_takes_as_many_round_trips_whatever_its_size(tmp_path: Path, many: int) -> None:
    """The round trips are those for the read marker and the accounts, and for each chunk its activities, relations and
    posts.
    """
    calls: list[str] = []
    with running(Settings(**embedded(tmp_path))) as system:
        owner, *people = crowd.people(system.container, 9)
        posts = [crowd.publish(system.container, owner) for _ in range(many // 8 + 1)]
        for n in range(many):
            activity = Activity("like", posts[n // 8], people[n % 8], NOON + timedelta(seconds=n))
            system.container.stores.feeds.notifications.note(owner, activity, activity.at)
        stores = system.container.stores
        seen = crowd.with_stores(
            system.container,
            relational=crowd.watched(stores.relational, calls.append, "relational"),
            documents=crowd.watched(stores.documents, calls.append, "documents"),
            feeds=crowd.watched(stores.feeds, calls.append, "feeds"),
        )
        for size in (1, 20, 100):
            calls.clear()
            seen.notifications.inbox.page(owner, size)
            trips = [call for call in calls if call.startswith("before")]
            assert len(trips) <= (6 if many < inbox_tops.ACTIVITIES else 8), trips
