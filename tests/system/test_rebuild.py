"""Feeds are rebuilt from the truth while everybody reads."""

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner

from app.cli import main
from app.container import Container
from app.doctor.rebuild import Rebuild
from app.worker.running import relay_of
from config import Settings
from repositories.records.content import PostRef
from tests.apps import ROLES, embedded, running
from tests.system.crowd import befriend, defined, people, publish, served, stored


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path), rebuild_posts=20)) as system:
        yield system.container


@pytest.fixture
def crowd(container: Container) -> list[UUID]:
    """Twelve accounts; the other eight follow the first four, who have thirty posts together."""
    everybody = people(container, 12)
    befriend(container, everybody[4:], everybody[:4])
    for number in range(30):
        publish(container, everybody[number % 4])
    relay_of(container).drain()
    return everybody


def damage(container: Container, owner: UUID) -> None:
    """Remove half of the entries of a home timeline, and add one without a post."""
    feeds = container.stores.feeds
    entries = list(feeds.audit.home(owner))
    feeds.audit.remove_home(entries[::2], container.kit.clock())
    feeds.audit.restore_home(owner, [PostRef(container.kit.ids(), owner)], container.kit.clock())


def test_every_feed_is_refilled_without_a_relay(container: Container, crowd: list[UUID]) -> None:
    for owner in crowd:
        damage(container, owner)
    made = Rebuild(container, relay_of(container).round, wait=True).everybody()
    assert (made.feeds, made.dormant, made.posts, made.late) == (12, 0, 30, 0)
    for owner in crowd:
        assert container.stores.relational.feed_activity.reader_state(owner).state == "awake"
        assert served(container, owner, 7) == defined(container, owner)
        assert set(defined(container, owner)[:20]) <= set(stored(container, owner))


def test_every_page_during_a_rebuild_is_correct(container: Container, crowd: list[UUID]) -> None:
    truth = {owner: defined(container, owner) for owner in crowd}
    stop, wrong, pages = threading.Event(), list[UUID](), list[int]()

    def read() -> None:
        while not stop.is_set():
            for owner in crowd:
                wrong.extend([owner] if served(container, owner, 7) != truth[owner] else [])
                pages.append(1)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        made = Rebuild(container, relay_of(container).round, wait=True).everybody()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert made.late == 0
    assert pages
    assert wrong == []


def test_a_rebuild_of_one_account_leaves_the_others(container: Container, crowd: list[UUID]) -> None:
    damage(container, crowd[0])
    damage(container, crowd[5])
    made = Rebuild(container, relay_of(container).round, wait=True).one(crowd[5])
    assert (made.feeds, made.posts, made.late) == (1, 0, 0)
    assert served(container, crowd[5]) == defined(container, crowd[5])
    assert served(container, crowd[0]) != defined(container, crowd[0])


def test_author_timelines_are_rebuilt(container: Container, crowd: list[UUID]) -> None:
    feeds, author = container.stores.feeds, crowd[1]
    whole = feeds.author_page(author, limit=100)
    feeds.audit.remove_author(list(feeds.audit.author(author))[1:4], container.kit.clock())
    assert len(feeds.author_page(author, limit=100)) == len(whole) - 3
    Rebuild(container, relay_of(container).round, wait=True).one(author)
    assert feeds.author_page(author, limit=100) == whole


def test_dormant_readers_are_left_out(container: Container, crowd: list[UUID]) -> None:
    with container.stores.relational.transaction() as tx:
        asleep = tx.feed_activity.sleep(seen_before=container.kit.clock(), limit=5)
    made = Rebuild(container, relay_of(container).round, wait=True).everybody()
    assert (made.feeds, made.dormant) == (7, 5)
    assert all(container.stores.relational.feed_activity.reader_state(a).state == "dormant" for a in asleep)


def test_a_rebuild_without_waiting_leaves_the_fills_to_the_relay(container: Container, crowd: list[UUID]) -> None:
    damage(container, crowd[5])
    made = Rebuild(container, relay_of(container).round, wait=False).everybody()
    assert (made.feeds, made.late) == (12, 0)
    assert container.stores.relational.feed_activity.reader_state(crowd[5]).state == "waking"
    assert served(container, crowd[5]) == defined(container, crowd[5])
    relay_of(container).drain()
    assert container.stores.relational.feed_activity.reader_state(crowd[5]).state == "awake"
    assert served(container, crowd[5]) == defined(container, crowd[5])


def test_feeds_that_are_not_filled_in_time_are_reported(container: Container, crowd: list[UUID]) -> None:
    made = Rebuild(container, lambda: 0, wait=True, patience=0.1).one(crowd[5])
    assert (made.feeds, made.late) == (1, 1)


@pytest.mark.parametrize("command", [["rebuild", "feeds"], ["doctor", "drift"]], ids=" ".join)
@pytest.mark.parametrize("handle", ["", "nobody_here"])
@pytest.mark.usefixtures("crowd")
def test_an_unknown_account_is_an_error(tmp_path: Path, command: list[str], handle: str) -> None:
    urls = {f"QUARTET_{role.upper()}_URL": embedded(tmp_path)[f"{role}_url"] for role in ROLES}
    ran = CliRunner().invoke(main, [*command, "--account", handle], env=urls)
    assert (ran.exit_code, ran.output) == (1, f"Error: there is no account {handle!r}\n")
