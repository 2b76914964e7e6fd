"""Moves of feeds in Cassandra: a batch that becomes visible in parts, and moves that overlap an earlier one's end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from cassandra.query import UNSET_VALUE

from repositories.feeds.cassandra import moving, moving_mark
from repositories.feeds.cassandra.moving import CassandraFeedsPlace
from repositories.feeds.cassandra.moving_gate import CHANGES
from repositories.feeds.cassandra.schema import CHANGE_ADD, GATED
from repositories.feeds.cassandra.store import CassandraFeeds
from repositories.feeds.id_time import micros
from repositories.feeds.layout import Layout
from repositories.feeds.moved_records import removal
from repositories.feeds.retention import now
from repositories.moving.places import Mark, Overtaken
from tests.engines import Shared
from tests.engines.feeds_calls import post

TIMEOUT = timedelta(seconds=20)


def test_a_removal_that_becomes_visible_after_its_note_is_moved(
    engines: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyspace = f"moving_{uuid4().hex[:8]}"
    url = f"{engines.cassandra().url.rpartition('/')[0]}/{keyspace}"
    with closing(CassandraFeeds(url, timeout=TIMEOUT, retention=timedelta(days=90))) as feeds:
        feeds.migrate()
        owner, written = uuid4(), now()
        entry = post()
        feeds.push(entry, [owner], written)
        place = feeds.place
        assert place
        place.capture(Mark("leaving", 0, "new", "move"))
        row = (micros(written) + 1, owner, Layout().home.bucket(entry.post_id), entry.post_id)
        note_alone(feeds, keyspace, row)
        # The rest of the batch becomes visible while the mover waits for it.
        waiting = SimpleNamespace(sleep=lambda _: feeds._link.write_behind("home_remove", [row]), time=time.time)
        monkeypatch.setattr(moving, "time", waiting)
        with place.moment() as moment:
            [key] = moment.changed["home timelines"]
            assert moment.of_keys("home timelines", [key]) == [removal("home timelines", key, row[0])]


class Places:
    """Clients of one keyspace, like those of several processes."""

    def __init__(self, engines: Shared, opened: ExitStack) -> None:
        self._url = f"{engines.cassandra().url.rpartition('/')[0]}/moving_{uuid4().hex[:8]}"
        self._opened = opened
        self.feeds = self._open()
        self.feeds.migrate()
        self.place = self.another()

    def another(self) -> CassandraFeedsPlace:
        place = self._open().place
        assert isinstance(place, CassandraFeedsPlace)
        return place

    def _open(self) -> CassandraFeeds:
        feeds = CassandraFeeds(self._url, timeout=TIMEOUT, retention=timedelta(days=90))
        return self._opened.enter_context(closing(feeds))


@pytest.fixture
def places(engines: Shared) -> Iterator[Places]:
    with ExitStack() as opened:
        yield Places(engines, opened)


def after_its_first_gate(place: CassandraFeedsPlace, act: Callable[[], None]) -> None:
    """Call `act` once this place has added its first gate."""
    alter, todo = place._link.alter, [act]

    def altered(text: str) -> None:
        alter(text)
        if "ADD gate" in text and todo:
            todo.pop()()

    place._link.alter = altered  # type: ignore[method-assign]


def test_a_move_begun_during_the_cleanup_of_another_notes_every_change(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, following = places.another(), places.place
    place.receive(Mark("incoming", 1, "old", "ended"))
    place.open(1)
    monkeypatch.setattr(moving_mark, "HELD_SECONDS", 0.1)
    after_its_first_gate(place, lambda: following.capture(Mark("leaving", 1, "new", "next")))
    with pytest.raises(Overtaken):
        place.tidy("ended")
    entry = post()
    places.feeds.push(entry, [uuid4()], now())
    with following.moment() as moment:
        assert {post_id for _, post_id in moment.changed["home timelines"]} == {entry.post_id}


def test_a_move_waits_for_the_cleanup_of_an_earlier_one(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place, following = places.another(), places.place
    place.receive(Mark("incoming", 1, "old", "ended"))
    place.open(1)
    waits, going_on, tidied = list[float](), threading.Event(), threading.Event()
    waiting = threading.Thread(target=following.capture, args=(Mark("leaving", 1, "new", "next"),))

    def meanwhile() -> None:
        waiting.start()
        assert going_on.wait(TIMEOUT.seconds)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        going_on.set()
        tidied.wait(TIMEOUT.seconds)

    monkeypatch.setattr(moving_mark, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    after_its_first_gate(place, meanwhile)
    place.tidy("ended")
    tidied.set()
    waiting.join()
    assert waits
    assert following.mark() == Mark("leaving", 1, "new", "next")
    following._mark.require_no_gates(*GATED)


def test_a_place_opened_by_two_processes_at_once_is_open(places: Places) -> None:
    place, other = places.another(), places.place
    place.receive(Mark("incoming", 1, "old", "a move"))
    after_its_first_gate(place, lambda: other.open(1))
    place.open(1)
    assert place.mark() == Mark("open", 1, "", "a move")


def test_a_switch_fails_when_another_process_restored_a_gate(places: Places) -> None:
    place = places.place
    place.capture(Mark("leaving", 0, "new", "a move"))
    with pytest.raises(Overtaken), place.switching(Mark("moved", 1, "new", "a move")):
        places.another()._mark.have_gates(GATED[0])
    assert place.mark() == Mark("leaving", 0, "new", "a move")


def note_alone(feeds: CassandraFeeds, keyspace: str, row: tuple[int, UUID, int, UUID]) -> None:
    link = feeds._link
    statement = link._late(CHANGE_ADD.format(keyspace=keyspace))
    link._session.get(5.0).execute(statement, (UNSET_VALUE, 0, *CHANGES["home_remove"](row)))
