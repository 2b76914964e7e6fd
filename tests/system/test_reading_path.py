"""The read-through path: what a page asks of each store, what a write drops, and which code never asks the cache."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from app.container import Container
from app.doctor import Drift
from app.services.commands.precondition import Precondition
from app.services.content.products import ProductDraft
from app.services.feeds.page_windows import Window
from app.services.people.accounts import Registration
from app.worker.running import relay_of
from config import Settings
from repositories.errors import Unavailable
from repositories.hot import Fill, Value
from repositories.records.content import PostRef
from repositories.records.money import Money
from repositories.sqlite.file import path_of
from tests.apps import embedded, running
from tests.system.crowd import befriend, people, publish, watched, with_stores

ANY = Precondition(given=True, any=True)
HOME = ("in_flight", "by_authors", "reader_state", "followees", "relations", "liked", "home_page", "read", "get")


class Calls:
    """The calls to the stores, by method name. Calls named `failing` raise after they are done."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.failing = ""

    def __call__(self, what: str) -> None:
        when, name = what.split()
        if when == "before":
            self.made[name.rsplit(".", maxsplit=1)[-1]] += 1
        elif name == self.failing:
            raise Unavailable(name)

    def of(self, work: Callable[[], object]) -> Counter[str]:
        self.made.clear()
        work()
        return Counter(self.made)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def container(tmp_path: Path, calls: Calls) -> Iterator[Container]:
    with running(Settings(**embedded(tmp_path))) as system:
        stores = system.container.stores
        yield with_stores(
            system.container,
            relational=watched(stores.relational, calls, "relational"),
            documents=watched(stores.documents, calls, "documents"),
            feeds=watched(stores.feeds, calls, "feeds"),
            cache=watched(stores.cache, calls, "cache"),
        )


def home_of(container: Container, posts: int) -> tuple[UUID, list[UUID]]:
    """A reader, and the posts in the reader's feed, newest first, all delivered."""
    reader, *authors = people(container, 6)
    befriend(container, [reader], authors)
    made = [publish(container, authors[n % 5]) for n in range(posts)]
    relay_of(container).drain()
    return reader, made[::-1]


@pytest.mark.parametrize(
    ("posts", "expected"),
    [
        (5, {"reader_state": 1, "liked": 1, "read": 2}),
        (40, {"reader_state": 1, "liked": 1, "read": 2}),
    ],
    ids=["shorter than a page", "longer than a page"],
)
def test_a_home_page_makes_no_more_store_calls_than_listed(
    container: Container, calls: Calls, posts: int, expected: dict[str, int]
) -> None:
    reader, made = home_of(container, posts)
    cold = container.pages.cards.home(reader, Window(20))
    assert list(cold.ids) == made[:20]
    asked = calls.of(lambda: container.pages.cards.home(reader, Window(20)))
    assert {name: asked[name] for name in HOME if asked[name]} == expected


def test_a_home_page_shows_stored_bytes_as_they_are(container: Container) -> None:
    reader, made = home_of(container, 3)
    container.pages.cards.home(reader, Window(20))
    cache, kind, odd = container.stores.cache, container.pages.kinds.posts, b'{ "stored" : "as it is" }'
    key = kind.key(made[0])
    [held] = cache.read([key])
    assert held is not None
    cache.drop([key])
    [lease] = cache.lease({key: b""})
    assert isinstance(lease, bytes)
    cache.fill({key: Fill(lease, Value(odd, 1, note=held.value.note), 60)})
    assert odd in container.pages.cards.home(reader, Window(20)).items[0].body


def test_a_row_with_a_wrong_author_shows_no_post(container: Container) -> None:
    reader, made = home_of(container, 3)
    (stranger,), now = people(container, 1), datetime.now(UTC)
    strange = publish(container, stranger)
    relay_of(container).drain()
    friend = next(iter(container.stores.relational.graph.followees(reader)))
    container.stores.feeds.push(PostRef(strange, friend), [reader], now)
    container.stores.feeds.add_to_author(PostRef(strange, friend), now)
    assert list(container.pages.cards.home(reader, Window(20)).ids) == made
    assert strange not in container.pages.cards.timeline(friend, Window(20), None).ids
    assert strange not in container.pages.first.of_author(20, friend).ids
    assert [c.body.count(str(strange).encode()) for c in container.pages.cards.posts([strange])] == [1]


def test_a_write_makes_one_drop_call(container: Container, calls: Calls) -> None:
    ada, bob = people(container, 2)
    content, graph = container.content, container.people.graph
    post, price = publish(container, ada), Money(5, "EUR")
    product = content.products.offer(ada, ProductDraft("Lamp", "lamps", price)).id
    writes: dict[str, Callable[[], object]] = {
        "publish": lambda: publish(container, ada),
        "edit": lambda: content.posts.edit(ada, post, {"title": "Other", "tags": ("a", "b")}, ANY),
        "like": lambda: content.posts.like(bob, post),
        "unlike": lambda: content.posts.unlike(bob, post),
        "comment": lambda: content.comments.add(bob, post, "Well said."),
        "delete": lambda: content.posts.delete(ada, post, ANY),
        "follow": lambda: graph.follow(ada, bob),
        "block": lambda: graph.block(ada, bob),
        "offer": lambda: content.products.offer(ada, ProductDraft("Lamp", "lamps", price)),
        "edit product": lambda: content.products.edit(ada, product, {"category": "other"}, ANY),
        "stock": lambda: content.products.put_stock(content.products.stock(ada, product), 5, if_version=None),
        "withdraw": lambda: content.products.withdraw(ada, product, ANY),
        "register": lambda: container.people.accounts.register(Registration("eve", "eve@example.com", "secret", "E")),
        "rename": lambda: container.people.accounts.edit(ada, {"handle": "ada_2"}, ANY),
    }
    assert {name: calls.of(write)["drop"] for name, write in writes.items()} == dict.fromkeys(writes, 1)


def test_a_write_with_unknown_outcome_makes_a_drop_call_too(container: Container, calls: Calls) -> None:
    ada, bob = people(container, 2)
    post = publish(container, ada)
    calls.failing = "documents.comments.add"

    def comment() -> None:
        with pytest.raises(Unavailable):
            container.content.comments.add(bob, post, "Well said.")

    [before] = container.pages.cards.posts([post])
    assert calls.of(comment)["drop"] == 1
    [after] = container.pages.cards.posts([post])
    assert b'"comments":0' in before.body
    assert b'"comments":1' in after.body


def test_the_doctor_reads_the_stores_and_not_the_cache(container: Container) -> None:
    reader, made = home_of(container, 22)
    container.pages.cards.home(reader, Window(100))
    container.pages.cards.posts(made)
    lost = made[3:6]
    with closing(sqlite3.connect(path_of(container.settings.documents_url), isolation_level=None)) as connection:
        connection.executemany("DELETE FROM documents_posts WHERE id = ?", [(str(post),) for post in lost])
    lines: list[str] = []
    Drift(container, lines.append, repair=False).everybody()
    for post in lost:
        wrong = [line for line in lines if str(post) in line and "does not exist" in line]
        assert any(line.startswith("author timeline") for line in wrong), lines
        assert any(line.startswith(f"home timeline of {reader}") for line in wrong), lines
