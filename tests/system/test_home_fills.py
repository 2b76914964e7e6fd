"""The cost of a reader without cached data: a first page reads only what it shows; further pages read the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.container import Container
from app.services.feeds import page_windows
from app.services.feeds.page_windows import Window
from app.worker.running import relay_of
from config import Settings
from tests.apps import embedded, running
from tests.system.crowd import befriend, people, publish
from tests.system.relay.runs import ANY

FEWEST, MOST, POSTS = 5, 9, 14
PAGE = 3


class Asked:
    """The calls of the feed store and the relational store since the last check."""

    def __init__(self, container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
        self._entries: list[int] = []
        self._reads: list[str] = []
        home_page = container.stores.feeds.home_page

        def counted(*args: Any, limit: int, **named: Any) -> Any:
            self._entries.append(limit)
            return home_page(*args, limit=limit, **named)

        monkeypatch.setattr(container.stores.feeds, "home_page", counted)
        for reads, name in (
            (container.stores.relational.graph, "relations"),
            (container.stores.relational.graph, "followees"),
            (container.stores.relational.likes, "liked"),
            (container.stores.relational.likes, "beside_follows"),
        ):
            self._note(monkeypatch, reads, name)

    def _note(self, monkeypatch: pytest.MonkeyPatch, reads: object, name: str) -> None:
        method = getattr(reads, name)

        def noted(*args: Any, **named: Any) -> Any:
            self._reads.append(name)
            return method(*args, **named)

        monkeypatch.setattr(reads, name, noted)

    def entries(self) -> list[int]:
        found, self._entries[:] = list(self._entries), []
        return found

    def reads(self) -> list[str]:
        found, self._reads[:] = list(self._reads), []
        return found


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Container]:
    monkeypatch.setattr(page_windows, "FEWEST", FEWEST)
    with running(Settings(**embedded(tmp_path) | {"home_top_entries": MOST})) as system:
        yield system.container


@pytest.fixture
def reader(container: Container) -> UUID:
    """A reader of two authors who have more posts than a home top is first filled with."""
    reader, *authors = people(container, 3)
    befriend(container, [reader], authors)
    for number in range(POSTS):
        publish(container, authors[number % 2])
    relay_of(container).drain()
    return reader


@pytest.fixture
def asked(container: Container, reader: UUID, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(container, monkeypatch)


def page(container: Container, reader: UUID, before: UUID | None = None, limit: int = PAGE) -> list[UUID]:
    return list(container.pages.cards.home(reader, Window(limit, before)).ids)


def test_a_first_page_reads_only_what_it_shows_and_the_next_one_the_rest(
    container: Container, reader: UUID, asked: Asked
) -> None:
    first = page(container, reader)
    assert asked.entries() == [FEWEST]
    assert page(container, reader) == first
    assert asked.entries() == []
    page(container, reader, first[-1])
    assert asked.entries() == [MOST]
    page(container, reader, first[-1])
    assert page(container, reader) == first
    assert asked.entries() == []


def test_a_page_longer_than_the_cached_entries_reads_again(container: Container, reader: UUID, asked: Asked) -> None:
    shorter = page(container, reader)
    longer = page(container, reader, limit=FEWEST + 1)
    assert longer[:PAGE] == shorter
    assert asked.entries() == [FEWEST, FEWEST + 2]


def test_follows_and_likes_are_one_read(container: Container, reader: UUID, asked: Asked) -> None:
    page(container, reader)
    assert asked.reads() == ["beside_follows"]
    page(container, reader)
    assert asked.reads() == ["liked"]


def test_posts_deleted_from_a_short_top_are_replaced_by_one_read(
    container: Container, reader: UUID, asked: Asked
) -> None:
    first = page(container, reader)
    shown = {ref.post_id: ref.author_id for ref in container.stores.feeds.home_page(reader, limit=POSTS)}
    for post in first:
        container.content.posts.delete(shown[post], post, ANY)
    asked.entries()
    rest = page(container, reader)
    assert len(rest) == PAGE
    assert not set(rest) & set(first)
    assert asked.entries() == [MOST]
    assert page(container, reader) == rest
    assert asked.entries() == []
