"""Moves between places of one kind: in chains and circles, two at once, and moves that must be refused. Between files
in every run, and as a proof in all engines.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.backup.file import End
from app.container import build
from app.moving.command import given_up
from app.moving.mover import Move
from app.stores import Stores
from repositories.errors import Contention, MovedAway, Unavailable
from repositories.moving.places import Mark, Overtaken, StorePlace
from tests.engines import Fleet, Reachable
from tests.engines.kernel import wait_until
from tests.system.moving.role_traffic import RoleTraffic, Written, role_traffic
from tests.system.moving.test_moving import OldAndNewPlace, Stopped

KINDS = {
    "relational": ("file", "postgres"),
    "documents": ("file", "postgres", "mongo"),
    "feeds": ("file", "postgres", "cassandra"),
    "sessions": ("file", "postgres", "redis"),
}


def marks(role: str, kind: str) -> list[pytest.MarkDecorator]:
    """The marks of a pair. Between files two roles suffice; contract suites and `test_moving.py` cover the others."""
    if kind == "file":
        return [] if role in ("documents", "feeds") else [pytest.mark.proof]
    return [pytest.mark.proof, pytest.mark.engines]


@pytest.fixture(
    params=[
        pytest.param((role, kind), id=f"{role}-{kind}", marks=marks(role, kind))
        for role, kinds in KINDS.items()
        for kind in kinds
    ]
)
def one(request: pytest.FixtureRequest, tmp_path: Path) -> RoleTraffic:
    role, kind = request.param
    return role_traffic(role, kind, tmp_path, lambda: request.getfixturevalue("engines"))


@contextmanager
def first_place(one: RoleTraffic) -> Iterator[tuple[str, Stores]]:
    """A migrated place, and the stores of a process that has its URL."""
    url = one.place()
    with one.stores(url) as stores:
        stores.by_role()[one.role].migrate()
        yield url, stores


def moving(old: StorePlace, new: StorePlace, meanwhile: Callable[[], object] = lambda: None) -> Move:
    def counted(_kind: str, batches: Iterator[Any]) -> Iterator[Any]:
        meanwhile()
        yield from batches

    def ended(_: End) -> None: ...

    return Move(old, new, say=lambda _: None, counted=counted, ended=ended)


def test_moves_in_a_chain_and_in_a_circle(one: RoleTraffic) -> None:
    """A process with the URL of any of the places finds the truth, and no other place accepts a write."""
    with first_place(one) as (url, stores):
        written, places, seen = [one.write(stores)], [url, one.place(), one.place()], set[str]()
        for here, there in ((0, 1), (1, 2), (2, 0), (0, 1)):
            done = one.moved(places[here], "--to", places[there])
            assert done.exit_code == 0, done.output
            seen.update((places[here], places[there]))
            assert {one.truth(place) for place in seen} == {places[there]}
            if there:
                with pytest.raises(MovedAway):
                    one.write(stores)
            with one.begun(url) as somebody:
                assert all(is_there(somebody) for is_there in written)
                written.append(one.write(somebody))


def test_a_later_move_of_a_role_overtakes_an_earlier_one(one: RoleTraffic) -> None:
    with first_place(one) as (url, stores):
        written = one.write(stores)
        near, far = one.place(), one.place()
        later: list[int] = []

        def overtake() -> None:
            if not later:
                later.append(one.moved(url, "--to", far).exit_code)

        with one.stores(url) as mine, one.stores(near) as other:
            other.by_role()[one.role].migrate()
            with pytest.raises((Overtaken, MovedAway)):
                moving(one.place_of(mine), one.place_of(other), overtake).run(url, near)
        assert later == [0]
        assert one.truth(url) == far
        with one.begun(url) as anybody:
            assert written(anybody)
            assert one.write(anybody)(anybody)


def test_a_move_that_begins_after_another_one_completed_fails(one: RoleTraffic) -> None:
    """The second move looks up the role's place before the first one is complete, and begins after that."""
    with first_place(one) as (url, stores):
        written, near, far = [one.write(stores)], one.place(), one.place()
        with closing(build(one.at(url))) as looked:
            assert one.moved(url, "--to", far).exit_code == 0
            with one.begun(url) as anybody:
                written.append(one.write(anybody))
            for place in (near, far, url):
                done = one.moved_from(looked, "--to", place)
                assert (done.exit_code, done.output.count("\n")) == (1, 1), done.output
                assert done.output.startswith("Error: not moved: another move of ")
                assert one.truth(url) == one.truth(far) == far
                # The same holds if the first one completes between the command's look and its beginning.
                with one.stores(place) as others, pytest.raises(Overtaken):
                    moving(one.place_of(stores), one.place_of(others)).run(url, place)
                with contextlib.suppress(Overtaken):
                    one.place_of(stores).tidy()
            with pytest.raises(MovedAway):
                one.write(stores)
        with one.begun(url) as anybody:
            assert all(is_there(anybody) for is_there in written)
            assert one.write(anybody)(anybody)


def test_the_cleanup_of_a_move_keeps_the_notes_of_the_next_one(one: RoleTraffic) -> None:
    """The next move may begin at the new place before the former one has tidied it."""
    with first_place(one) as (url, _):
        place = one.place()
        assert one.moved(url, "--to", place).exit_code == 0
        with one.begun(url) as there, one.stores(place) as mine:
            former = one.place_of(there).mark()
            assert former
            following = one.place_of(mine)
            following.capture(Mark("leaving", former.epoch, "elsewhere", "next"))
            with contextlib.suppress(Overtaken):
                one.place_of(there).tidy(former.move)
            assert following.mark() == Mark("leaving", former.epoch, "elsewhere", "next")
            one.write(there)
            with following.moment() as moment:
                assert any(moment.changed.values())


def test_writes_continue_while_a_killed_move_is_given_up(one: RoleTraffic) -> None:
    with first_place(one) as (url, stores):
        written, place = [one.write(stores)], one.place()
        with one.stores(url) as mine, one.stores(place) as other:
            other.by_role()[one.role].migrate()
            with pytest.raises(Stopped):
                OldAndNewPlace(one.place_of(mine), one.place_of(other)).run((url, place), "old switching", 1)
        written.append(one.write(stores))
        assert one.truth(place) == url
        assert one.moved(url, "--to", url).exit_code == 0
        written.append(one.write(stores))
        assert one.truth(place) == url
        # What the dead move has left there does not matter.
        assert one.moved(url, "--to", place).exit_code == 0
        with one.begun(url) as anybody:
            assert all(is_there(anybody) for is_there in written)


@pytest.mark.proof
@pytest.mark.parametrize("pair", [("documents", "mongo"), ("feeds", "cassandra"), ("sessions", "redis")])
def test_writers_go_on_when_a_move_dies_in_its_switch(
    pair: tuple[str, str], engines: Fleet[Reachable], tmp_path: Path
) -> None:
    """Not in SQL databases, where the transaction of the switch ends with its process anyway."""
    one = role_traffic(*pair, tmp_path, lambda: engines)
    with first_place(one) as (url, stores):
        place, dead = one.place(), Mark("leaving", 0, "elsewhere", "a move")
        with one.stores(url) as mine:
            source = one.place_of(mine)
            source.capture(dead)
            before = one.write(stores)
            switch = source.switching(Mark("moved", 1, "elsewhere", "a move"))
            switch.__enter__()

            def writes() -> bool:
                # Every process polls the mark.
                one.place_of(stores).mark()
                try:
                    written.append(one.write(stores))
                except (Contention, Unavailable):
                    return False
                return True

            written = [before]
            assert wait_until(writes, 30)
            with pytest.raises((Contention, Overtaken)):
                switch.__exit__(None, None, None)
        assert one.moved(url, "--to", place).exit_code == 0
        with one.begun(url) as anybody:
            assert all(is_there(anybody) for is_there in written)


def test_verify_finds_differences_between_places(one: RoleTraffic) -> None:
    with first_place(one) as (url, stores), first_place(one) as (place, others):
        one.write(stores)
        done = one.moved(url, "--to", place, "--verify-only")
        assert done.exit_code == 1
        assert "1 records, 0 in the new place" in done.output
        one.write(others)
        assert one.moved(url, "--to", place, "--verify-only").exit_code == 1
        assert one.moved(url, "--to", url, "--verify-only").exit_code == 0


def test_a_place_that_is_not_empty_is_not_overwritten(one: RoleTraffic) -> None:
    with first_place(one) as (url, stores), first_place(one) as (place, others):
        one.write(stores)
        kept = one.write(others)
        done = one.moved(url, "--to", place)
        assert done.exit_code == 1
        assert "the place is not empty" in done.output
        assert one.truth(url) == url
        assert kept(others)
        assert one.write(stores)(stores)


def test_a_move_that_fails_does_not_end_a_later_one(one: RoleTraffic) -> None:
    with first_place(one) as (url, stores), one.stores(url) as others:
        earlier, later = one.place_of(stores), one.place_of(others)
        earlier.capture(Mark("leaving", 0, "near", "earlier"))

        def fail() -> None:
            with given_up(earlier, "earlier"):
                later.capture(Mark("leaving", 0, "far", "later"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert earlier.mark() == Mark("leaving", 0, "far", "later")
        with pytest.raises(ZeroDivisionError), given_up(later, "later"):
            raise ZeroDivisionError
        mark = later.mark()
        assert mark
        assert mark.state == "open"


def test_two_roles_of_a_file_move_at_once(tmp_path: Path) -> None:
    both = [role_traffic(role, "file", tmp_path, NotImplemented) for role in ("documents", "sessions")]
    url, place = both[0].place(), both[0].place()
    written, codes = list[Written](), list[int]()
    for one in both:
        with one.stores(url) as stores:
            stores.by_role()[one.role].migrate()
            written.append(one.write(stores))

    def move(one: RoleTraffic) -> None:
        codes.append(one.moved(url, "--to", place).exit_code)

    threads = [threading.Thread(target=move, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    for one, is_there in zip(both, written, strict=True):
        assert one.truth(url) == place
        with one.begun(url) as anybody:
            assert is_there(anybody)
