"""The contract of session stores as the old and the new place of a move."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from redis import Redis

from repositories.errors import Contention, MovedAway
from repositories.hot import SessionStore, open_sessions
from repositories.moving.places import FrozenPlace, Mark, Overtaken, StorePlace
from repositories.records.people import Session
from tests.contracts.relational_store import new_database

NOW = datetime.now(UTC)
TIMEOUT = timedelta(seconds=5)
Open = Callable[[], SessionStore]


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], SessionStore]]:
    with ExitStack() as stores:

        def open_(url: str) -> SessionStore:
            store = open_sessions(url, timeout=TIMEOUT, pool=4, seen=True)
            stores.callback(store.close)
            store.migrate()
            return store

        yield open_


@pytest.fixture(params=["embedded", *(pytest.param(kind, marks=pytest.mark.engines) for kind in ("redis", "postgres"))])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgres":
        yield new_database(request.getfixturevalue("engines").postgres())
    elif request.param == "redis":
        own = str(request.getfixturevalue("engines").sessions().url)
        yield own
        with Redis.from_url(own) as redis:
            redis.flushdb()
    else:
        yield f"sqlite:///{tmp_path_factory.mktemp('sessions') / 'hot.db'}"


@pytest.fixture
def file_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('sessions') / 'other.db'}"


def place_of(store: SessionStore) -> StorePlace:
    assert store.place
    return store.place


def marks(url: str) -> tuple[Mark, Mark, Mark]:
    move = uuid4().hex
    return Mark("leaving", 0, url, move), Mark("incoming", 1, "old", move), Mark("moved", 1, url, move)


def signed_in(store: SessionStore, count: int = 1, account: UUID | None = None) -> list[tuple[Session, bytes]]:
    made = [
        (Session(uuid4(), account or uuid4(), "phone", NOW, NOW + timedelta(days=30)), uuid4().bytes * 2)
        for _ in range(count)
    ]
    for one, digest in made:
        store.add(one, digest)
    return made


def found(store: SessionStore, digest: bytes) -> Session | None:
    return store.find(digest, now=NOW)


def copy(old: StorePlace, new: StorePlace) -> None:
    with old.moment() as moment, new.loading() as load:
        for kind in old.kinds:
            for batch in moment.records(kind.name):
                load(kind.name, batch)


def carry(old: StorePlace, new: StorePlace) -> int:
    with old.moment() as moment:
        new.apply(moment.changed, moment.of_keys)
        old.forget(moment)
        return sum(map(len, moment.changed.values()))


def records(place: StorePlace, moment: FrozenPlace) -> set[Any]:
    every = (one for batch in moment.records("sessions") for one in batch)
    return {one for one in every if place.compared("sessions", one)}


@pytest.mark.parametrize("goes_to_file", [True, False])
def test_sessions_move_while_they_are_written(
    opened: Callable[[str], SessionStore], url: str, file_url: str, *, goes_to_file: bool
) -> None:
    old, new = (opened(one) for one in ((url, file_url) if goes_to_file else (file_url, url)))
    source, target = place_of(old), place_of(new)
    leaving, incoming, moved = marks("new")
    account = uuid4()
    [(stays, stays_digest), (ends, ends_digest), (used, used_digest)] = signed_in(old, 3, account)
    many = signed_in(old, 3)
    old.note_seen(account, {"relational": "0" * 24})
    source.capture(leaving)
    target.receive(incoming)
    with pytest.raises(MovedAway):
        signed_in(new)
    copy(source, target)
    [(late, late_digest)] = signed_in(old, 1, account)
    assert old.end(account, ends.id)
    old.note_use(replace(used, used_at=NOW, address="203.0.113.7"), used_digest)
    old.end_all(many[0][0].account_id, keep=None)
    old.note_seen(account, {"documents": "f" * 24})
    assert carry(source, target) >= 5
    assert carry(source, target) == 0
    with source.moment() as mine, target.moment() as theirs:
        assert records(source, mine) == records(target, theirs) != set()
    with source.switching(moved):
        assert carry(source, target) == 0
        assert found(old, stays_digest)
    target.open(1)
    for refused in (
        lambda: signed_in(old),
        lambda: old.end(account, stays.id),
        lambda: old.note_use(used, used_digest),
        lambda: old.end_all(account, keep=None),
        lambda: found(old, stays_digest),
        lambda: found(old, b"unknown"),
        lambda: old.of_account(account, now=NOW),
        lambda: old.note_seen(account, {"documents": "f" * 24}),
    ):
        with pytest.raises(MovedAway):
            refused()
    there = found(new, stays_digest)
    assert there
    assert replace(there, seen=()) == stays
    assert dict(there.seen) == {"documents": "f" * 24, "relational": "0" * 24}
    assert found(new, ends_digest) is None
    assert found(new, many[0][1]) is None
    now_used = found(new, used_digest)
    assert now_used
    assert now_used.address == "203.0.113.7"
    assert [one.id for one in new.of_account(account, now=NOW)] == sorted((stays.id, used.id, late.id), reverse=True)
    assert new.end(account, late.id)
    assert found(new, late_digest) is None
    assert target.mark() == Mark("open", 1, "", leaving.move)
    assert source.mark() == moved


def test_a_failed_switch_changes_nothing(opened: Callable[[str], SessionStore], url: str) -> None:
    old = opened(url)
    source = place_of(old)
    leaving, _, moved = marks("new")
    source.capture(leaving)
    with pytest.raises(ZeroDivisionError), source.switching(moved):
        raise ZeroDivisionError
    with pytest.raises(Contention), source.switching(moved):
        raise Contention("it takes too long, and is tried again")
    [(_, digest)] = signed_in(old)
    assert found(old, digest)
    assert source.mark() == leaving
    source.tidy()
    other = marks("other")[0]
    source.capture(other)
    with source.moment() as moment:
        assert not any(moment.changed.values())
    source.release()
    source.tidy()
    mark = source.mark()
    assert mark
    assert mark.state == "open"
    signed_in(old)


def test_an_overtaken_move_does_nothing(opened: Callable[[str], SessionStore], url: str) -> None:
    store, again = opened(url), opened(url)
    earlier, later = place_of(store), place_of(again)
    earlier.capture(marks("one")[0])
    later.capture(marks("other")[0])
    with pytest.raises(Overtaken), earlier.switching(marks("one")[2]):
        raise AssertionError
    earlier.receive(marks("one")[1])
    later.receive(marks("other")[1])
    with pytest.raises(Overtaken):
        earlier.apply({"sessions": [("00",)]}, lambda _kind, _keys: [])
    later.open(1)
    signed_in(store)


def test_changes_during_a_read_are_reported_as_unsure(opened: Callable[[str], SessionStore], url: str) -> None:
    """Every session that is ended meanwhile is either reported as unsure or not read."""
    store = opened(url)
    source = place_of(store)
    before = signed_in(store, 600)
    source.capture(marks("new")[0])
    with source.moment() as moment:
        batches = moment.records("sessions")
        read = list(next(batches))
        for one, _ in before[::20]:
            store.end(one.account_id, one.id)
        signed_in(store, 3)
        read += [one for batch in batches for one in batch]
        keys = {source.key("sessions", one) for one in read}
        unsure = set(moment.unsure.get("sessions", ()))
    all_before = {(digest.hex(),) for _, digest in before}
    assert keys.isdisjoint(unsure)
    assert keys <= all_before <= keys | unsure
    source.release()
