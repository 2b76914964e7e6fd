"""The contract of feed stores as the old and the new place of a move."""

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.moving.mover import Move
from repositories.errors import MovedAway
from repositories.feeds import FeedStore, open_store
from repositories.feeds.activity_id import moment_id
from repositories.feeds.id_time import below, micros
from repositories.moving.places import Mark, StorePlace
from repositories.records.content import PostRef
from repositories.records.feeds import Activity
from tests.contracts.relational_store import new_database

RETENTION = timedelta(days=90)
ENGINES = "postgres", "cassandra"
Change = Callable[[FeedStore], object]
Open = Callable[[str], FeedStore]


@pytest.fixture
def opened() -> Iterator[Open]:
    with ExitStack() as stores:

        def open_(url: str) -> FeedStore:
            store = open_store(url, timeout=timedelta(seconds=10), pool=4, retention=RETENTION)
            stores.callback(store.close)
            store.migrate()
            return store

        yield open_


@pytest.fixture(params=["embedded", *(pytest.param(engine, marks=pytest.mark.engines) for engine in ENGINES)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgres":
        return new_database(request.getfixturevalue("engines").postgres())
    if request.param == "cassandra":
        server: str = request.getfixturevalue("engines").cassandra().url
        return f"{server.rpartition('/')[0]}/moved_{uuid4().hex[:8]}"
    return f"sqlite:///{tmp_path_factory.mktemp('feeds') / 'feeds.db'}"


@pytest.fixture
def file_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('feeds') / 'other.db'}"


class Traffic:
    """Random changes of the feeds of a few accounts, each with the time of its event."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  test data
        self._at = datetime.now(UTC) - timedelta(days=20)
        self.people = [uuid4() for _ in range(8)]
        self._posts: list[PostRef] = []
        self._activities: list[tuple[UUID, Activity]] = []

    def changes(self, count: int) -> list[Change]:
        return [self._change() for _ in range(count)]

    def _change(self) -> Change:
        self._at += timedelta(minutes=self._chance.randrange(1, 60), microseconds=self._chance.randrange(1000))
        at, who = self._at, self._chance.choice(self.people)
        kinds = (
            [self._publish] * 6
            + [self._note] * 4
            + [self._unpublish, self._unfollow, self._rebuild, self._forget, self._read]
        )
        return self._chance.choice(kinds)(at, who)

    def _publish(self, at: datetime, who: UUID) -> Change:
        post = PostRef(_id(at), who)
        self._posts.append(post)
        owners = self._chance.sample(self.people, 4)
        return lambda feeds: (feeds.add_to_author(post, at), feeds.push(post, owners, at))

    def _unpublish(self, at: datetime, who: UUID) -> Change:
        if not self._posts:
            return self._publish(at, who)
        post = self._chance.choice(self._posts)
        return lambda feeds: (feeds.remove_from_author(post, at), feeds.retract(post, self.people, at))

    def _unfollow(self, at: datetime, who: UUID) -> Change:
        whom = self._chance.choice(self.people)
        return lambda feeds: feeds.purge(who, whom, at)

    def _rebuild(self, at: datetime, who: UUID) -> Change:
        again = self._posts[-5:]
        return lambda feeds: (feeds.trim(who, at), feeds.fill(who, again, at + timedelta(milliseconds=1)))

    def _note(self, at: datetime, who: UUID) -> Change:
        happened = at - timedelta(seconds=self._chance.choice((0, 30)))
        activity = Activity("comment", uuid4(), self._chance.choice(self.people), happened, 3, "said \u00e4")
        self._activities.append((who, activity))
        noted = self._chance.choice((None, moment_id(at)))
        return lambda feeds: feeds.notifications.note(who, activity, at, noted)

    def _forget(self, at: datetime, who: UUID) -> Change:
        if not self._activities:
            return self._note(at, who)
        owner, activity = self._chance.choice(self._activities)
        return lambda feeds: feeds.notifications.withdraw(owner, activity, at)

    def _read(self, at: datetime, who: UUID) -> Change:
        marker = moment_id(at)
        return lambda feeds: feeds.notifications.mark(who, marker)


def _id(at: datetime) -> UUID:
    return UUID(int=below(micros(at) // 1000).int | (7 << 76) | (2 << 62) | random.getrandbits(60))


def shown(feeds: FeedStore, people: Sequence[UUID]) -> list[Any]:
    return [
        (
            feeds.home_page(who, limit=1000),
            feeds.author_page(who, limit=1000),
            feeds.notifications.page(who, limit=1000),
            feeds.notifications.marker(who),
        )
        for who in people
    ]


def place_of(store: FeedStore) -> StorePlace:
    assert store.place
    return store.place


def moved(old: FeedStore, new: FeedStore, meanwhile: Callable[[], None]) -> list[str]:
    said: list[str] = []

    def counted(_kind: str, batches: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for batch in batches:
            meanwhile()
            yield batch
            meanwhile()

    move = Move(place_of(old), place_of(new), say=said.append, counted=counted, ended=lambda end: said.append(str(end)))
    move.run("old", "new")
    return said


def test_a_read_leaves_out_what_changes_meanwhile_even_after_earlier_changes_are_forgotten(
    opened: Open, url: str
) -> None:
    feeds, traffic = opened(url), Traffic(seed=3)
    place, (ada, ben, *_) = place_of(feeds), traffic.people
    at = datetime.now(UTC) - timedelta(days=1)
    earlier, later = (PostRef(_id(at + timedelta(hours=n)), ada) for n in range(2))
    place.capture(Mark("leaving", 0, "new", "move"))
    feeds.push(earlier, [ada, ben], at)
    with place.moment() as moment:
        assert moment.changed["home timelines"]
        place.forget(moment)
        feeds.push(later, [ada, ben], at)
        read = [one.post_id for batch in moment.records("home timelines") for one in batch]
        assert sorted(read) == sorted([earlier.post_id] * 2)
        place.forget(moment)
    with place.moment() as moment:
        assert {post for _, post in moment.changed["home timelines"]} == {later.post_id}


def test_feeds_move_there_and_back_while_they_are_written(
    opened: Open, url: str, file_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old, new = opened(url), opened(file_url)
    truth = opened(f"sqlite:///{tmp_path_factory.mktemp('feeds') / 'truth.db'}")
    traffic = Traffic(seed=7)

    def write(feeds: FeedStore, count: int) -> None:
        for change in traffic.changes(count):
            for store in (feeds, truth):
                change(store)

    write(old, 60)
    assert shown(old, traffic.people) == shown(truth, traffic.people)
    moved(old, new, functools.partial(write, old, 5))
    assert shown(new, traffic.people) == shown(truth, traffic.people)
    refused = 0
    for change in traffic.changes(30):
        try:
            change(old)
        except MovedAway:
            refused += 1
        change(new)
        change(truth)
    assert refused
    assert shown(new, traffic.people) == shown(truth, traffic.people)
    write(new, 20)
    moved(new, old, functools.partial(write, new, 5))
    assert shown(old, traffic.people) == shown(truth, traffic.people)
    write(old, 20)
    assert shown(old, traffic.people) == shown(truth, traffic.people)
